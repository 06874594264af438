"use strict";
// Sorting, filtering, bars and the scatter of a board. Everything shown is text of the page itself.
(() => {
  const form = document.getElementById("controls");
  const bodies = [...document.querySelectorAll("table.board tbody")];
  const headings = [...document.querySelectorAll("table.board thead th[data-key]")];
  const shownByDefault = new Set(headings.filter((th) => !th.hidden).map((th) => th.dataset.key));
  const facts = new Map(headings.map((th) => [th.dataset.key, th.dataset]));
  const rowsOf = (body) => [...body.rows];
  const numeric = (text) => (text === "" || text === undefined ? NaN : Number(text));
  const cellOf = (row, name) => row.querySelector(`td[data-key="${CSS.escape(name)}"]`);

  function key(row, name) {
    if (name === "name") return row.dataset.name.toLowerCase();
    if (name === "rank" || name === "order") return numeric(row.dataset[name]);
    const cell = cellOf(row, name);
    return cell ? numeric(cell.dataset.loss) : NaN;
  }

  function sort(table, button) {
    const name = button.dataset.sort;
    const heading = button.closest("th");
    // The best comes first; a second click turns the order around.
    const descending = heading.getAttribute("aria-sort") === "ascending";
    table.querySelectorAll("thead th[aria-sort]").forEach((th) => th.setAttribute("aria-sort", "none"));
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    [...table.tBodies].forEach((body) => body.append(...rowsOf(body).sort((a, b) => {
      const [x, y] = [key(a, name), key(b, name)];
      if (typeof x === "string") return (descending ? -1 : 1) * x.localeCompare(y);
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
      return (descending ? -1 : 1) * (x - y);
    })));
  }

  function filter() {
    const data = new FormData(form);
    const families = new Set(data.getAll("family"));
    const byDefault = data.get("default") !== null;
    const wanted = (place) => families.has(place.dataset.family) || (byDefault && shownByDefault.has(place.dataset.key));
    document.querySelectorAll("table.board [data-key]").forEach((cell) => { cell.hidden = !wanted(cell); });
    const shownKeys = new Set(headings.filter(wanted).map((th) => th.dataset.key));
    document.getElementById("columns-count").textContent = `${shownKeys.size} of ${facts.size} shown`;
    const find = (data.get("find") || "").toLowerCase();
    const same = (name, value) => !data.get(name) || data.get(name) === value;
    let [shown, all] = [0, 0];
    bodies.forEach((body) => rowsOf(body).forEach((row) => {
      const told = row.dataset;
      const quoted = told.status === "quoted";
      const fits = told.name.toLowerCase().includes(find)
        && same("overlap", told.overlap) && same("modelfamily", told.family) && same("atoms", told.atoms)
        && same("kind", quoted ? "quoted" : "measured")
        && (data.get("official") === null || quoted || told.status === "official");
      row.hidden = !fits;
      shown += fits;
      all += 1;
    }));
    const intervals = !form.querySelector("[name=intervals]") || data.get("intervals") !== null;
    document.querySelectorAll(".span, .bar").forEach((span) => { span.hidden = !intervals; span.style.display = intervals ? "" : "none"; });
    document.getElementById("count").textContent = `${shown} of ${all} rows shown`;
    if (intervals) shownKeys.forEach(bars);
    scatter();
  }

  const SVG = "http://www.w3.org/2000/svg";
  function element(name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    Object.entries(attributes).forEach(([attribute, value]) => made.setAttribute(attribute, value));
    if (text !== undefined) made.textContent = text;
    return made;
  }
  const range = (values, share) => {
    const known = values.filter(Number.isFinite);
    const [low, high] = [Math.min(...known), Math.max(...known)];
    const margin = share * (high - low || Math.abs(high) || 1);
    return [low - margin, high + margin];
  };

  // The intervals of a column on one scale, with MD against itself as a dashed line. Drawn once.
  const drawn = new Set();
  function bars(name) {
    const table = document.getElementById("measured");
    if (!table || drawn.has(name)) return;
    drawn.add(name);
    const cells = [...table.querySelectorAll(`tbody td[data-key="${CSS.escape(name)}"]`)];
    const parts = (cell) => ["value", "low", "high"].map((part) => numeric(cell.dataset[part]));
    const floor = numeric(facts.get(name).floor);
    const [least, most] = range([...cells.flatMap(parts), floor], 0.02);
    const inside = (value) => (Number.isFinite(value) ? value : most); // an interval without a bound ends at the edge
    const at = (value) => ((inside(value) - least) / (most - least) * 100).toFixed(1);
    cells.forEach((cell) => {
      const [value, low, high] = parts(cell);
      if (!Number.isFinite(value)) return;
      const svg = element("svg", { class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" });
      if (Number.isFinite(floor)) svg.append(element("path", { class: "floor", d: `M${at(floor)} 0V10` }));
      if (Number.isFinite(low)) svg.append(element("path", { class: "interval", d: `M${at(low)} 5H${at(high)}` }));
      svg.append(element("path", { class: "value", d: `M${at(value)} 1V9` }));
      cell.append(svg);
    });
  }

  function ticks(low, high) {
    const span = high - low || 1;
    let step = 10 ** Math.floor(Math.log10(span / 5));
    step *= [1, 2, 5, 10].reduce((a, b) => (Math.abs(span / (a * step) - 5) <= Math.abs(span / (b * step) - 5) ? a : b));
    const found = [];
    for (let value = Math.ceil(low / step) * step; value <= high + 1e-9 * span; value += step) found.push(Number(value.toPrecision(12)));
    return found;
  }

  // Many orders of magnitude of a positive quantity, as costs are, are drawn on a logarithmic axis.
  function scale(values, from, to) {
    const known = values.filter(Number.isFinite);
    const log = Math.min(...known) > 0 && Math.max(...known) / Math.min(...known) > 100;
    const turned = (value) => (log ? Math.log10(value) : value);
    const [low, high] = range(values.map(turned), 0.06);
    const at = (value) => from + (turned(value) - low) / (high - low) * (to - from);
    const whole = (value) => (log ? 10 ** value : value);
    const marks = log && high - low > 1.5
      ? ticks(low, high).filter(Number.isInteger).map(whole)
      : (log ? [low + 0.1 * (high - low), (low + high) / 2, high - 0.1 * (high - low)].map((v) => Number((10 ** v).toPrecision(1))) : ticks(low, high));
    return { at, marks };
  }

  const title = (name) => {
    const told = facts.get(name);
    return `${name}${told.unit ? ` (${told.unit})` : ""}, best: ${told.best}`;
  };
  const KINDS = { ranked: ["model", "■ models"], baselines: ["md", "● MD and baselines"], quoted: ["quoted", "◆ quoted from papers"] };
  const SHAPES = {
    model: (x, y) => element("rect", { class: "mark model", x: x - 4, y: y - 4, width: 8, height: 8 }),
    md: (x, y) => element("circle", { class: "mark md", cx: x, cy: y, r: 4.5 }),
    quoted: (x, y) => element("path", { class: "mark quoted", d: `M${x} ${y - 4.5}l4.5 4.5l-4.5 4.5l-4.5 -4.5z` }),
  };

  function pointsOf(names) {
    const found = [];
    bodies.forEach((body) => rowsOf(body).forEach((row) => {
      if (row.hidden) return;
      const parts = names.map((name) => {
        const cell = cellOf(row, name);
        return ["value", "low", "high"].map((part) => (cell ? numeric(cell.dataset[part]) : NaN));
      });
      if (parts.every((part) => Number.isFinite(part[0]))) {
        found.push({ name: row.dataset.name, id: body.id || body.closest("table").id, x: parts[0], y: parts[1] });
      }
    }));
    return found;
  }

  // A label stands where it hides no other; where there is no such place it is left out, and the point has its title.
  function label(point, x, y, taken, width) {
    const long = 6.4 * point.name.length;
    const places = [[8, -6], [8, 14], [-8 - long, -6], [-8 - long, 14], [8, -20], [8, 28], [-8 - long, -20], [-8 - long, 28]];
    const boxes = places.map(([dx, dy]) => ({ left: x + dx, right: x + dx + long, top: y + dy - 10, bottom: y + dy + 2 }));
    const free = boxes.find((box) => box.left > 60 && box.right < width && box.top > 8
      && !taken.some((other) => box.left < other.right && other.left < box.right && box.top < other.bottom && other.top < box.bottom));
    if (!free) return null;
    taken.push(free);
    return element("text", { x: free.left, y: free.bottom - 2, class: "name" }, point.name);
  }

  function scatter() {
    const names = ["across", "up"].map((id) => document.getElementById(id).value);
    const points = pointsOf(names);
    const place = document.getElementById("scatter");
    place.replaceChildren();
    if (!points.length) { place.textContent = "No row has both figures."; return; }
    const [width, height, left, bottom, top] = [760, 460, 64, 50, 14];
    const floors = names.map((name) => numeric(facts.get(name).floor));
    const [x, y] = [
      scale([...points.flatMap((point) => point.x), floors[0]], left, width - 16),
      scale([...points.flatMap((point) => point.y), floors[1]], height - bottom, top),
    ];
    const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${names[1]} against ${names[0]}, ${points.length} rows` });
    x.marks.forEach((value) => {
      svg.append(element("path", { class: "grid", d: `M${x.at(value)} ${top}V${height - bottom}` }));
      svg.append(element("text", { class: "tick", x: x.at(value), y: height - bottom + 16, "text-anchor": "middle" }, String(value)));
    });
    y.marks.forEach((value) => {
      svg.append(element("path", { class: "grid", d: `M${left} ${y.at(value)}H${width - 16}` }));
      svg.append(element("text", { class: "tick", x: left - 6, y: y.at(value) + 4, "text-anchor": "end" }, String(value)));
    });
    svg.append(element("text", { class: "title", x: (left + width) / 2, y: height - 10, "text-anchor": "middle" }, title(names[0])));
    svg.append(element("text", { class: "title", transform: `translate(14 ${(height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, title(names[1])));
    if (Number.isFinite(floors[0])) svg.append(element("path", { class: "floor", d: `M${x.at(floors[0])} ${top}V${height - bottom}` }));
    if (Number.isFinite(floors[1])) svg.append(element("path", { class: "floor", d: `M${left} ${y.at(floors[1])}H${width - 16}` }));
    const taken = points.map((point) => ({ left: x.at(point.x[0]) - 5, right: x.at(point.x[0]) + 5, top: y.at(point.y[0]) - 5, bottom: y.at(point.y[0]) + 5 }));
    const labels = [];
    points.forEach((point) => {
      const kind = KINDS[point.id][0];
      const [px, py] = [x.at(point.x[0]), y.at(point.y[0])];
      const lines = [];
      if (Number.isFinite(point.x[1])) lines.push(`M${x.at(point.x[1])} ${py}H${x.at(point.x[2])}`);
      if (Number.isFinite(point.y[1])) lines.push(`M${px} ${y.at(point.y[1])}V${y.at(point.y[2])}`);
      if (lines.length) svg.append(element("path", { class: `whisker ${kind}`, d: lines.join("") }));
      const mark = SHAPES[kind](px, py);
      mark.append(element("title", {}, `${point.name}: ${names[0]} ${point.x[0]}, ${names[1]} ${point.y[0]}`));
      svg.append(mark);
      labels.push(label(point, px, py, taken, width));
    });
    svg.append(...labels.filter(Boolean));
    const kinds = [...new Set(points.map((point) => KINDS[point.id][1]))];
    const dashed = floors.some(Number.isFinite) ? ["dashed: MD against itself"] : [];
    const hidden = labels.filter((one) => !one).length;
    const legend = document.createElement("p");
    legend.className = "note";
    legend.textContent = [...kinds, ...dashed, "lines: 95 % intervals", ...(hidden ? [`${hidden} names hidden for want of room`] : [])].join(" · ");
    place.append(svg, legend);
  }

  document.querySelectorAll("table.board").forEach((table) => table.querySelectorAll("button[data-sort]").forEach((button) => {
    button.addEventListener("click", () => sort(table, button));
  }));
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  ["across", "up"].forEach((id) => document.getElementById(id).addEventListener("input", scatter));
  filter();
})();

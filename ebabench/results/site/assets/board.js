"use strict";
// Sorting, filtering and the scatter of a board. Everything shown is text of the page itself.
(() => {
  const form = document.getElementById("controls");
  const tables = [...document.querySelectorAll("table.board")];
  const shownByDefault = new Set(
    [...document.querySelectorAll("table.board thead th[data-key]")].filter((th) => !th.hidden).map((th) => th.dataset.key));

  const numeric = (text) => (text === "" || text === undefined ? NaN : Number(text));

  function key(row, name) {
    if (name === "name") return row.dataset.name.toLowerCase();
    if (name === "rank") return numeric(row.dataset.rank);
    const cell = row.querySelector(`td[data-key="${CSS.escape(name)}"]`);
    return cell ? numeric(cell.dataset.loss) : NaN;
  }

  function sort(table, button) {
    const name = button.dataset.sort;
    const heading = button.closest("th");
    // The best comes first; a second click turns the order around.
    const descending = heading.getAttribute("aria-sort") === "ascending";
    table.querySelectorAll("thead th[aria-sort]").forEach((th) => th.setAttribute("aria-sort", "none"));
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows];
    rows.sort((a, b) => {
      const [x, y] = [key(a, name), key(b, name)];
      if (typeof x === "string") return (descending ? -1 : 1) * x.localeCompare(y);
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
      return (descending ? -1 : 1) * (x - y);
    });
    body.append(...rows);
  }

  function filter() {
    const data = new FormData(form);
    const families = new Set(data.getAll("family"));
    const byDefault = data.get("default") !== null;
    document.querySelectorAll("table.board [data-key]").forEach((cell) => {
      const wanted = families.has(cell.dataset.family) || (byDefault && shownByDefault.has(cell.dataset.key));
      cell.hidden = !wanted;
    });
    const find = (data.get("find") || "").toLowerCase();
    const overlap = data.get("overlap");
    let shown = 0;
    let all = 0;
    tables.forEach((table) => [...table.tBodies[0].rows].forEach((row) => {
      const fits = row.dataset.name.toLowerCase().includes(find)
        && (!overlap || row.dataset.overlap === overlap)
        && (data.get("official") === null || ["official", "quoted"].includes(row.dataset.status));
      row.hidden = !fits;
      shown += fits;
      all += 1;
    }));
    document.querySelectorAll(".span").forEach((span) => { span.hidden = data.get("intervals") === null; });
    document.getElementById("count").textContent = `${shown} of ${all} rows shown`;
    scatter();
  }

  const SVG = "http://www.w3.org/2000/svg";
  function element(name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    Object.entries(attributes).forEach(([attribute, value]) => made.setAttribute(attribute, value));
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function ticks(low, high) {
    const span = high - low || 1;
    let step = 10 ** Math.floor(Math.log10(span / 5));
    step *= [1, 2, 5, 10].reduce((a, b) => (Math.abs(span / (a * step) - 5) <= Math.abs(span / (b * step) - 5) ? a : b));
    const found = [];
    for (let value = Math.ceil(low / step) * step; value <= high + 1e-9 * span; value += step) found.push(Number(value.toPrecision(12)));
    return found;
  }

  function scatter() {
    const [across, up] = ["across", "up"].map((id) => document.getElementById(id).value);
    const points = [];
    tables.filter((table) => table.id !== "quoted").forEach((table) => [...table.tBodies[0].rows].forEach((row) => {
      if (row.hidden) return;
      const [x, y] = [across, up].map((name) => row.querySelector(`td[data-key="${CSS.escape(name)}"]`));
      const point = { name: row.dataset.name, ranked: table.id === "ranked" };
      [["x", x], ["y", y]].forEach(([axis, cell]) => {
        point[axis] = ["value", "low", "high"].map((part) => numeric(cell.dataset[part]));
      });
      if (Number.isFinite(point.x[0]) && Number.isFinite(point.y[0])) points.push(point);
    }));
    const place = document.getElementById("scatter");
    place.replaceChildren();
    if (!points.length) { place.textContent = "No row has both figures."; return; }
    const [width, height, left, bottom] = [640, 420, 60, 46];
    const range = (axis) => {
      const values = points.flatMap((point) => point[axis]).filter(Number.isFinite);
      const [low, high] = [Math.min(...values), Math.max(...values)];
      const margin = 0.06 * (high - low || Math.abs(high) || 1);
      return [low - margin, high + margin];
    };
    const [[x0, x1], [y0, y1]] = [range("x"), range("y")];
    const px = (value) => left + (value - x0) / (x1 - x0) * (width - left - 16);
    const py = (value) => height - bottom - (value - y0) / (y1 - y0) * (height - bottom - 14);
    const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${up} against ${across}, ${points.length} rows` });
    ticks(x0, x1).forEach((value) => {
      svg.append(element("path", { class: "grid", d: `M${px(value)} 14V${height - bottom}` }));
      svg.append(element("text", { class: "tick", x: px(value), y: height - bottom + 16, "text-anchor": "middle" }, String(value)));
    });
    ticks(y0, y1).forEach((value) => {
      svg.append(element("path", { class: "grid", d: `M${left} ${py(value)}H${width - 16}` }));
      svg.append(element("text", { class: "tick", x: left - 6, y: py(value) + 4, "text-anchor": "end" }, String(value)));
    });
    svg.append(element("text", { x: (left + width) / 2, y: height - 8, "text-anchor": "middle" }, across));
    svg.append(element("text", { transform: `translate(14 ${(height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, up));
    points.forEach((point) => {
      const kind = point.ranked ? "model" : "md";
      const [x, y] = [px(point.x[0]), py(point.y[0])];
      const bars = [];
      if (Number.isFinite(point.x[1])) bars.push(`M${px(point.x[1])} ${y}H${px(point.x[2])}`);
      if (Number.isFinite(point.y[1])) bars.push(`M${x} ${py(point.y[1])}V${py(point.y[2])}`);
      svg.append(element("path", { class: `line ${kind}`, "stroke-width": 1, "stroke-opacity": 0.45, style: "stroke-dasharray:none;stroke-width:1", d: bars.join("") || `M${x} ${y}` }));
      svg.append(point.ranked
        ? element("rect", { class: "mark model", x: x - 4, y: y - 4, width: 8, height: 8 })
        : element("circle", { class: "mark md", cx: x, cy: y, r: 4.5 }));
      const right = x > width - 120;
      svg.append(element("text", { x: right ? x - 8 : x + 8, y: y - 6, "text-anchor": right ? "end" : "start" }, point.name));
    });
    place.append(svg);
  }

  tables.forEach((table) => table.querySelectorAll("button[data-sort]").forEach((button) => {
    button.addEventListener("click", () => sort(table, button));
  }));
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  ["across", "up"].forEach((id) => document.getElementById(id).addEventListener("input", scatter));
  filter();
})();

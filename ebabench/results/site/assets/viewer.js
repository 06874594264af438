"use strict";
// Two viewers that turn together: conformations of the model and of MD, or their largest motion.
(() => {
  const sides = { model: window.modelSide, md: window.mdSide };
  const form = document.getElementById("viewer-controls");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const note = document.getElementById("viewer-note");

  function unpack(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    return Float32Array.from({ length: bytes.length / 2 }, (_, k) => view.getInt16(2 * k, true) / 100);
  }

  // Atoms as PDB lines without coordinates: text before them and after them.
  function linesOf(residues) {
    let serial = 0;
    return residues.split(",").flatMap((one) => {
      const [residue, number, ...names] = one.split(" ");
      return names.map((name) => {
        serial += 1;
        const label = name.length === 4 ? name : ` ${name.padEnd(3)}`;
        return [
          `ATOM  ${String(serial).padStart(5)} ${label} ${residue.padStart(3)} A${number.padStart(4)}    `,
          `  1.00  0.00          ${name[0].padStart(2)}`,
        ];
      });
    });
  }

  function withCoordinates(residues, at, start) {
    let k = start;
    return linesOf(residues).map(([before, after]) => {
      const text = [at[k], at[k + 1], at[k + 2]].map((value) => value.toFixed(3).padStart(8)).join("");
      k += 3;
      return before + text + after;
    }).join("\n");
  }

  function conformations(side) {
    const at = unpack(side.frames);
    const size = at.length / side.count;
    return Array.from({ length: side.count }, (_, k) => withCoordinates(side.residues, at, k * size));
  }

  function motion(side) {
    const [mean, step] = [unpack(side.mean), unpack(side.motion)];
    return Array.from({ length: 20 }, (_, k) => {
      const share = 2 * Math.sin(2 * Math.PI * k / 20);
      return withCoordinates(side.residues, mean.map((value, i) => value + share * step[i]), 0);
    });
  }

  // From quiet to strong, readable without telling red from green.
  function ramp(share) {
    const stops = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
    const first = dark.matches ? 0.25 : 0; // the darkest end is not seen on a dark page
    const at = (first + (1 - first) * Math.min(Math.max(share, 0), 1)) * (stops.length - 1);
    const k = Math.min(Math.floor(at), stops.length - 2);
    return `rgb(${stops[k].map((value, i) => Math.round(value + (at - k) * (stops[k + 1][i] - value))).join(",")})`;
  }
  function diverging(share) {
    const strength = Math.min(Math.abs(share), 1);
    const end = share > 0 ? [178, 24, 43] : [33, 102, 172];
    return `rgb(${end.map((value) => Math.round(200 + strength * (value - 200))).join(",")})`;
  }

  function colourOf(which, name) {
    const numbers = sides.model.numbers;
    const [own, md] = sides.model.fluctuation;
    const place = new Map(numbers.map((number, k) => [number, k]));
    const most = Math.max(...own, ...md, 1e-6);
    const apart = Math.max(...own.map((value, k) => Math.abs(value - md[k])), 1e-6);
    return (atom) => {
      const k = place.get(atom.resi) ?? 0;
      if (name === "fluctuation") return ramp((which === "model" ? own : md)[k] / most);
      if (name === "difference") return diverging((own[k] - md[k]) / apart);
      return ramp(numbers.length > 1 ? k / (numbers.length - 1) : 0);
    };
  }

  // What the colours mean, below the viewers.
  function legend(name) {
    const [own, md] = sides.model.fluctuation;
    const most = Math.max(...own, ...md);
    const apart = Math.max(...own.map((value, k) => Math.abs(value - md[k])));
    const ends = {
      residue: [`residue ${sides.model.numbers[0]}`, `residue ${sides.model.numbers.at(-1)}`],
      fluctuation: ["RMSF 0 Å", `${most.toFixed(1)} Å`],
      difference: [`MD moves more by ${apart.toFixed(1)} Å`, `model moves more by ${apart.toFixed(1)} Å`],
    }[name];
    const stops = Array.from({ length: 11 }, (_, k) => (name === "difference" ? diverging(k / 5 - 1) : ramp(k / 10)));
    document.getElementById("scale-low").textContent = ends[0];
    document.getElementById("scale-high").textContent = ends[1];
    document.getElementById("scale-bar").style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  }

  const viewers = {};
  let placed = false;
  function draw() {
    const data = new FormData(form);
    const name = data.get("colour");
    Object.entries(sides).forEach(([which, side]) => {
      const viewer = viewers[which];
      viewer.setBackgroundColor(dark.matches ? "#14181c" : "#ffffff");
      viewer.stopAnimate();
      viewer.removeAllModels();
      const colorfunc = colourOf(which, name);
      const motions = data.get("what") === "motion";
      const sticks = data.get("style") === "atoms";
      const style = sticks
        ? { stick: { radius: motions ? 0.15 : 0.07, colorfunc } }
        : { cartoon: { colorfunc, thickness: motions ? 0.4 : 0.2 } };
      if (motions) {
        viewer.addModelsAsFrames(motion(side).map((text, k) => `MODEL ${k + 1}\n${text}\nENDMDL`).join("\n"), "pdb");
        viewer.setStyle({}, style);
        viewer.animate({ loop: "forward", interval: 70 });
      } else {
        conformations(side).forEach((text) => viewer.addModel(text, "pdb"));
        viewer.setStyle({}, style);
      }
      if (!placed) viewer.zoomTo();
      if (!placed) viewer.zoom(1.25);
      viewer.spin(data.get("spin") !== null ? "y" : false);
      viewer.render();
    });
    placed = true;
    legend(name);
  }

  try {
    Object.keys(sides).forEach((which) => {
      viewers[which] = window.$3Dmol.createViewer(`viewer-${which}`, { backgroundColor: dark.matches ? "#14181c" : "#ffffff" });
      if (!viewers[which]) throw new Error("no WebGL");
    });
    viewers.model.linkViewer(viewers.md);
    viewers.md.linkViewer(viewers.model);
    form.addEventListener("input", draw);
    dark.addEventListener("change", draw);
    draw();
    window.viewersReady = true;
  } catch (error) {
    note.textContent = `The structures cannot be shown here (${error.message}). The charts below need no WebGL.`;
  }
})();

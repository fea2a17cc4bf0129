// Draws the charts of a page: unpacks plotly.js and the data, builds the controls, follows the theme of the reader.
"use strict";

const packedText = async (id) => {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
};

const touch = matchMedia("(pointer: coarse)").matches;
const dark = matchMedia("(prefers-color-scheme: dark)");
const paint = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colour = (i) => paint(`--c${i % 6}`);
const dash = (i) => ["solid", "dash", "dot"][Math.floor(i / 6) % 3];
const faint = (hex, opacity) => `rgba(${[1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)).join(",")},${opacity})`;

const element = (tag, options = {}, parent = null) => {
  const made = Object.assign(document.createElement(tag), options);
  if (parent) parent.append(made);
  return made;
};

const menu = (parent, label, names, onChange) => {
  const select = element("select", { ariaLabel: label });
  names.forEach((name, i) => element("option", { value: i, textContent: name }, select));
  select.addEventListener("change", onChange);
  const box = element("label", { textContent: `${label} ` }, parent);
  box.append(select);
  return select;
};

const draw = (plot, traces, layout, zoomable = false) => {
  const axis = { gridcolor: paint("--line"), linecolor: paint("--line"), zeroline: false, automargin: true };
  const base = {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: paint("--ink"), family: "inherit", size: 13 },
    margin: { l: 8, r: 8, t: 8, b: 8 }, height: 400, hovermode: "x", dragmode: touch ? false : "zoom",
    hoverlabel: { bgcolor: paint("--paper"), font: { color: paint("--ink") } },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", traceorder: "normal" }, showlegend: false,
    modebar: { bgcolor: "rgba(0,0,0,0)", color: paint("--muted"), activecolor: paint("--ink") },
  };
  const merged = { ...base, ...layout, xaxis: { ...axis, ...layout.xaxis }, yaxis: { ...axis, ...layout.yaxis } };
  const config = { responsive: true, displaylogo: false, displayModeBar: zoomable && (touch || "hover"),
    modeBarButtons: [["zoomIn2d", "zoomOut2d", "pan2d", "resetScale2d"]] };
  return Plotly.react(plot, traces, merged, config);
};

const curves = (data, controls, plot) => {
  const choice = data.choices.length > 1 ? menu(controls, "Show", data.choices, () => redraw()) : { value: 0 };
  const redraw = () => {
    const name = data.choices[choice.value];
    const traces = data.lines.map((line, i) => ({
      x: line.x, y: line[name], name: line.model, mode: line.x.length > 40 ? "lines" : "lines+markers",
      line: { color: colour(i), dash: dash(i), width: 2 }, marker: { size: 5 }, hovertemplate: "%{y:.4~g}",
    }));
    const means = traces.map((trace) => {
      const known = trace.y.filter((value) => value !== null);
      return known.reduce((sum, value) => sum + value, 0) / known.length;
    });
    const error = !data.diagonal && !/^(coverage|bias)/.test(name);  // of these less is not better, so that none is hopeless
    const near = traces.filter((trace, i) => !error || means[i] <= 4 * Math.min(...means.filter((mean) => !isNaN(mean))));
    const values = near.flatMap((trace) => trace.y).filter((value) => value !== null);
    const low = Math.min(0, ...values), high = 1.06 * Math.max(...values);
    traces.forEach((trace) => { if (!near.includes(trace)) trace.name += " (above)"; });
    const layout = { showlegend: true, xaxis: { title: { text: data.label } }, yaxis: { title: { text: name } } };
    if (data.diagonal) {
      traces.unshift({ x: [0, 1], y: [0, 1], mode: "lines", line: { color: paint("--muted"), dash: "dot", width: 1 },
        hoverinfo: "skip", name: "ideal" });
      layout.xaxis.range = layout.yaxis.range = [0, 1];
    } else if (low === 0 && high > 0) {
      layout.yaxis.range = [0, high];
    }
    return draw(plot, traces, layout);
  };
  return redraw;
};

const intervals = (data, controls, plot) => () => draw(plot, [{
  x: data.values, y: data.models, mode: "markers", marker: { color: colour(0), size: 9 },
  error_x: { type: "constant", value: data.half, color: colour(0), thickness: 2, width: 5 }, hovertemplate: "%{x:.3~g}<extra></extra>",
}], {
  height: 90 + 34 * data.models.length, hovermode: "closest",
  xaxis: { title: { text: data.label } }, yaxis: { autorange: "reversed", type: "category" },
  shapes: [{ type: "rect", yref: "paper", y0: 0, y1: 1, x0: data.values[0] - data.half, x1: data.values[0] + data.half,
    fillcolor: faint(colour(0), 0.1), line: { width: 0 }, layer: "below" }],
});

const explorer = (data, controls, plot) => {
  const label = (one) => (one.quality === null ? one.name : `${one.name}  (${data.measure} ${one.quality.toPrecision(3)})`);
  const series = menu(controls, "Series", data.series.map(label), () => { fill(); redraw(); });
  const cutoff = menu(controls, "Cutoff", [], () => redraw());
  const step = (by) => {
    cutoff.selectedIndex = Math.min(Math.max(cutoff.selectedIndex + by, 0), cutoff.options.length - 1);
    redraw();
  };
  element("button", { type: "button", textContent: "\u2039", ariaLabel: "earlier cutoff", onclick: () => step(-1) }, controls);
  element("button", { type: "button", textContent: "\u203a", ariaLabel: "later cutoff", onclick: () => step(1) }, controls);
  const chips = element("div", { className: "chips" }, controls);
  const boxes = data.models.map((model, i) => {
    const chip = element("label", { className: "chip" }, chips);
    const box = element("input", { type: "checkbox", checked: i < 3 }, chip);
    box.addEventListener("change", () => redraw());
    element("span", { className: "swatch", style: `background: var(--c${i % 6})` }, chip);
    chip.append(model.name);
    return box;
  });

  const fill = () => {
    const { windows } = data.series[series.value];
    cutoff.replaceChildren();
    windows.forEach((one) => element("option", { textContent: one.cutoff }, cutoff));
    if (windows.length > 1) element("option", { textContent: "all that do not overlap" }, cutoff);
    cutoff.selectedIndex = windows.length - 1;
  };

  const chosen = (windows) => {
    if (cutoff.selectedIndex < windows.length) return [windows[cutoff.selectedIndex]];
    const kept = [];
    for (const one of [...windows].reverse()) {
      const length = one.values[data.models[0].name][0].length;
      if (!kept.length || one.first + length <= kept[0].first) kept.unshift(one);
    }
    return kept;
  };

  const redraw = () => {
    const { x, y, windows } = data.series[series.value];
    const kept = chosen(windows);
    const models = data.models.map((model, i) => ({ ...model, i })).filter((model) => boxes[model.i].checked);
    const traces = [{ x, y, name: "observed", mode: "lines", line: { color: paint("--ink"), width: 1.4 }, hovertemplate: "%{y:.5~g}" }];
    const band = { mode: "lines", line: { width: 0 }, hoverinfo: "skip" };
    for (const one of kept) {
      for (const [rank, model] of models.entries()) {
        const [point, ...bounds] = one.values[model.name];
        const at = x.slice(one.first, one.first + point.length);
        const shaded = rank === 0 || models.length <= 2 ? model.levels.length : 0;
        for (let level = 0; level < shaded; level += 1) {
          traces.push({ ...band, x: at, y: bounds[2 * level] });
          traces.push({ ...band, x: at, y: bounds[2 * level + 1], fill: "tonexty", fillcolor: faint(colour(model.i), 0.18) });
        }
        traces.push({ x: at, y: point, name: model.name, mode: point.length > 1 ? "lines" : "markers",
          line: { color: colour(model.i), dash: dash(model.i), width: 2 }, hovertemplate: "%{y:.5~g}" });
      }
    }
    const length = kept[0].values[data.models[0].name][0].length;
    const last = Math.min(kept[kept.length - 1].first + length, x.length) - 1;
    const from = Math.max(kept[0].first - Math.max(3 * length, 12), 0);
    const shapes = kept.map((one) => ({ type: "line", x0: one.cutoff, x1: one.cutoff, yref: "paper", y0: 0, y1: 1,
      line: { color: paint("--muted"), width: 1, dash: "dash" } }));
    const seen = traces.flatMap((trace) => trace.y.filter((value, i) => {
      return value !== null && trace.x[i] >= x[from] && trace.x[i] <= x[last];
    }));
    const [low, high] = seen.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
    const edge = 0.05 * (high - low || 1);
    return draw(plot, traces, { shapes, xaxis: { range: [x[from], x[last]] }, yaxis: { range: [low - edge, high + edge] } }, true);
  };

  fill();
  return redraw;
};

const monitor = (data, controls, plot) => {
  const sensor = menu(controls, "Sensor", data.sensors.map((one) => one.name), () => redraw());
  const named = data.events.map((one) => `${one.id} ${one.kind}, ${one.start} (severity ${one.severity})`);
  const event = menu(controls, "Event", ["all rows", ...named], () => choose(0));
  const choose = (by) => {
    event.selectedIndex = Math.min(Math.max(event.selectedIndex + by, 0), data.events.length);
    const one = data.events[event.selectedIndex - 1];
    if (one && one.sensor >= 0) sensor.selectedIndex = one.sensor;
    redraw();
  };
  element("button", { type: "button", textContent: "\u2039", ariaLabel: "earlier event", onclick: () => choose(-1) }, controls);
  element("button", { type: "button", textContent: "\u203a", ariaLabel: "later event", onclick: () => choose(1) }, controls);
  const kinds = [...new Set(data.events.map((one) => one.kind))];
  const stamp = (x) => (typeof x === "number" ? x : Date.parse(x.length > 10 ? `${x.replace(" ", "T")}Z` : x));
  const text = (time, x) => (typeof x === "number" ? time : new Date(time).toISOString().replace("T", " ").slice(0, 19));

  let shown = null;

  const redraw = () => {
    const { name, x, y, mean, low, high } = data.sensors[sensor.selectedIndex];
    const band = { x, mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false };
    const tint = (kind) => colour(1 + kinds.indexOf(kind));
    const traces = [
      { ...band, y: low }, { ...band, y: high, fill: "tonexty", fillcolor: faint(colour(0), 0.18) },
      { x, y: mean, name: "expected", mode: "lines", line: { color: colour(0), width: 1.2 }, hovertemplate: "%{y:.5~g}" },
      { x, y, name, mode: "lines", line: { color: paint("--ink"), width: 1.4 }, hovertemplate: "%{y:.5~g}" },
      { x: data.x, y: data.score.map((value) => (value === null ? null : Math.max(value, 0.01))), name: "score", yaxis: "y2",
        mode: "lines", line: { color: colour(0), width: 1.2 }, hovertemplate: "%{y:.3~g}", showlegend: false },
      ...kinds.map((kind) => ({ x: [null], y: [null], name: kind, mode: "markers",
        marker: { color: tint(kind), symbol: "square", size: 10 } })),
    ];
    const shapes = data.events.map((one) => ({ type: "rect", x0: one.start, x1: one.end, yref: "paper", y0: 0, y1: 1,
      fillcolor: faint(tint(one.kind), 0.22), line: { width: 1, color: faint(tint(one.kind), 0.5) }, layer: "below" }));
    shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, yref: "y2", y0: 1, y1: 1, line: { color: colour(1), width: 1 } });
    const one = data.events[event.selectedIndex - 1];
    const [first, last] = [stamp(x[0]), stamp(x[x.length - 1])];
    const [from, to] = one ? [stamp(one.start), stamp(one.end)] : [first, last];
    const edge = one ? Math.max(to - from, 30 * (last - first) / Math.max(x.length - 1, 1)) : 0;
    const zoomed = shown === event.selectedIndex;  // another sensor or theme: the reader's own zoom stays
    const range = zoomed ? plot.layout.xaxis.range : [text(from - edge, x[0]), text(to + edge, x[0])];
    shown = event.selectedIndex;
    const [left, right] = range.map(stamp);
    const seen = [];
    x.forEach((at, i) => {
      if (stamp(at) < left || stamp(at) > right) return;
      if (y[i] !== null) seen.push(y[i]);
      if (mean[i] !== null) seen.push(mean[i]);
    });
    const [least, most] = seen.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
    const air = 0.08 * (most - least || 1);
    return draw(plot, traces, {
      shapes, height: 520, showlegend: true,
      xaxis: { range, anchor: "y2" },
      yaxis: { domain: [0.32, 1], title: { text: name }, range: seen.length ? [least - air, most + air] : undefined },
      yaxis2: { domain: [0, 0.26], type: "log", title: { text: "score" }, gridcolor: paint("--line"), automargin: true,
        dtick: 1, zeroline: false },
    }, true);
  };
  return redraw;
};

const start = async () => {
  const code = element("script", { textContent: await packedText("plotly") });
  document.head.append(code);
  const charts = JSON.parse(await packedText("data"));
  const redraws = charts.map((data, i) => {
    const figure = document.getElementById(`chart-${i}`);
    const [controls, plot] = ["controls", "plot"].map((name) => figure.querySelector(`.${name}`));
    return { curves, intervals, explorer, monitor }[data.type](data, controls, plot);
  });
  const all = () => Promise.all(redraws.map((redraw) => redraw()));
  dark.addEventListener("change", all);
  await all();
  document.documentElement.dataset.drawn = "yes";
};

start();

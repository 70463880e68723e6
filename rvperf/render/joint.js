// The page of `kvm run`. Times are ns from the start. Texts get on the page as textContent only.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const get = (id) => document.getElementById(id);
  const numbers = new Intl.NumberFormat("en-US");
  const COUNTERS = 32, ROW = 13, MARKS = 16, NAMES = 74, LEAST = 50;
  const MODES = ["M", "HS", "VS"], TOP = MODES.length * MARKS + 6;
  const HEIGHT = TOP + COUNTERS * ROW;
  const whole = Math.max(1, data.end - data.start);
  const reserved = new Set(data.reserved);
  const state = { from: 0, to: whole, hart: 0, at: null, row: null };

  function make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  function pair(name, value) {
    return make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value }));
  }

  function duration(ns) {
    const steps = [["s", 1e9], ["ms", 1e6], ["µs", 1e3], ["ns", 1]];
    const [unit, size] = steps.find(([, step]) => Math.abs(ns) >= step) || steps[3];
    return `${Number((ns / size).toPrecision(5))} ${unit}`;
  }

  function roundStep(least) {
    const power = 10 ** Math.floor(Math.log10(Math.max(1, least)));
    return [1, 2, 5, 10].map((n) => n * power).find((step) => step >= least);
  }

  function nameOf(counter) {
    return data.fixed[counter] || `hpm ${counter}`;
  }

  // --- sessions

  function card(session) {
    const head = make("h3", { textContent: `${session.name}: ${session.what}` });
    const element = make("div", { className: "session" }, head,
      make("code", { textContent: session.command }));
    if (session.samples !== null) {
      const where = session.output ? ` in ${session.output}` : "";
      element.append(make("p", { textContent: `${numbers.format(session.samples)} samples${where}` }));
      const why = session.why ? ` because ${session.why}` : "";
      const lost = `${numbers.format(session.lost)} lost${why}`;
      element.append(make("p", { className: session.lost ? "lost" : "", textContent: lost }));
    }
    if (session.counts.length) {
      const table = make("table");
      for (const [name, value, share] of session.counts) {
        const cells = [value, name, share].map((text) => make("td", { textContent: text }));
        table.append(make("tr", {}, ...cells));
      }
      element.append(table);
    }
    return element;
  }

  for (const [name, value] of data.facts) get("facts").append(pair(name, value));
  for (const session of data.sessions) {
    get(session.name === "host" ? "host" : "guest").append(card(session));
  }
  if (!get("host").children.length) {
    get("host").append(make("p", { className: "hint", textContent: "measures nothing" }));
  }
  for (const figures of data.guests) {
    const cells = figures.map((value) => make("td", {
      textContent: typeof value === "number" ? numbers.format(value) : value,
    }));
    get("rows").append(make("tr", {}, ...cells));
  }
  get("script").hidden = !data.happened.length;
  for (const [time, ...more] of data.happened) {
    const cells = [duration(time), ...more].map((text) => make("td", { textContent: text }));
    get("happened").append(make("tr", {}, ...cells));
  }
  for (let hart = 0; hart < data.harts; hart++) {
    get("hart").append(make("option", { value: hart, textContent: hart }));
  }
  get("hart").parentElement.hidden = data.harts < 2;

  // --- the strip

  const area = get("strip-area"), canvas = get("canvas"), brush = get("brush");
  const cursor = get("cursor"), ticks = get("ticks");
  const swatches = data.owners.map(([name, look]) => {
    const swatch = make("i", { className: look });
    get("legend").append(make("span", {}, swatch, name));
    return swatch;
  });
  // Counters that nobody uses are hatched in the colour of whose they are.
  const hatches = {};
  for (const [kept, look, text] of data.kept) {
    const swatch = make("i", { className: `${look} hatched` });
    hatches[kept] = swatch;
    get("legend").append(make("span", {}, swatch, text));
  }
  get("legend").append(make("span", { textContent: "▲ an overflow interrupt, in the row of the " +
    "mode that took it" }));
  if (data.reserved.length) {
    get("legend").append(make("span", { textContent: "│ passed through to guests" }));
  }

  const plot = () => Math.max(10, area.clientWidth - NAMES);
  const xOf = (time) => NAMES + (time - state.from) / (state.to - state.from) * plot();
  const timeOf = (x) => state.from + (x - NAMES) / plot() * (state.to - state.from);

  function hatch(pen, tone, ratio) {
    const size = 6 * ratio, tile = make("canvas", { width: size, height: size });
    const lines = tile.getContext("2d");
    lines.strokeStyle = tone;
    lines.globalAlpha = 0.75;
    lines.lineWidth = 1.5 * ratio;
    lines.beginPath();
    for (const shift of [-size, 0, size]) {
      lines.moveTo(shift, size);
      lines.lineTo(shift + size, 0);
    }
    lines.stroke();
    const pattern = pen.createPattern(tile, "repeat");
    pattern.setTransform(new DOMMatrix([1 / ratio, 0, 0, 1 / ratio, 0, 0]));
    return pattern;
  }

  function draw() {
    const width = area.clientWidth, ratio = window.devicePixelRatio || 1;
    canvas.width = width * ratio;
    canvas.height = HEIGHT * ratio;
    canvas.style.height = `${HEIGHT}px`;
    const pen = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const tones = swatches.map((swatch) => getComputedStyle(swatch).getPropertyValue("--tone"));
    const patterns = {};
    for (const [kept, swatch] of Object.entries(hatches)) {
      patterns[kept] = hatch(pen, getComputedStyle(swatch).getPropertyValue("--tone"), ratio);
    }
    pen.scale(ratio, ratio);
    pen.font = "10px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace";
    pen.textBaseline = "middle";
    for (let counter = 0; counter < COUNTERS; counter++) {
      const y = TOP + counter * ROW;
      const kept = data.unused[counter];
      pen.fillStyle = colour("--dim");
      pen.globalAlpha = kept === "absent" ? 0.2 : 0.55;
      pen.fillRect(NAMES, y, plot(), ROW - 1);
      pen.globalAlpha = 1;
      if (patterns[kept]) {
        pen.fillStyle = patterns[kept];
        pen.fillRect(NAMES, y, plot(), ROW - 1);
      }
      pen.fillStyle = colour("--soft");
      pen.textAlign = "right";
      pen.fillText(nameOf(counter), NAMES - 10, y + ROW / 2);
      if (reserved.has(counter)) {
        pen.fillStyle = colour("--accent");
        pen.fillRect(NAMES - 5, y, 2, ROW);
      }
    }
    pen.textAlign = "left";
    pen.save();
    pen.beginPath();
    pen.rect(NAMES, 0, plot(), HEIGHT);
    pen.clip();
    for (const [hart, first, last, owner, start, end] of data.intervals) {
      if (hart !== state.hart || end < state.from || start > state.to) continue;
      const left = Math.max(NAMES, xOf(start)), right = Math.min(width, xOf(end));
      pen.fillStyle = tones[owner];
      for (let counter = first; counter <= last; counter++) {
        pen.fillRect(left, TOP + counter * ROW, Math.max(0.6, right - left), ROW - 1);
      }
      const name = data.owners[owner][0];
      if (right - left > 8 * name.length + 6) {
        pen.fillStyle = "#1a1a1a";
        pen.fillText(name, left + 4, TOP + (Math.floor((first + last) / 2) + 0.5) * ROW);
      }
    }
    pen.fillStyle = colour("--ink");
    const drawn = new Set();
    for (const [time, hart, mode] of data.overflows) {
      if (hart !== state.hart || time < state.from || time > state.to) continue;
      const x = xOf(time), y = MODES.indexOf(mode) * MARKS, key = `${mode} ${Math.round(x)}`;
      if (drawn.has(key)) continue;
      drawn.add(key);
      pen.beginPath();
      pen.moveTo(x, y + 3);
      pen.lineTo(x + 4, y + MARKS - 4);
      pen.lineTo(x - 4, y + MARKS - 4);
      pen.fill();
    }
    pen.restore();
    pen.fillStyle = colour("--soft");
    pen.textAlign = "right";
    MODES.forEach((mode, at) => pen.fillText(`to ${mode}`, NAMES - 10, at * MARKS + MARKS / 2));
    const step = roundStep((state.to - state.from) * 110 / plot());
    ticks.replaceChildren();
    for (let time = Math.ceil(state.from / step) * step; time <= state.to; time += step) {
      const tick = make("span", { textContent: duration(time) });
      tick.style.left = `${xOf(time)}px`;
      ticks.append(tick);
    }
    get("everything").disabled = state.from === 0 && state.to === whole;
    tell();
  }

  // What there is at the cursor, or at the end.
  function tell() {
    const time = state.at === null ? whole : state.at;
    cursor.hidden = state.at === null;
    cursor.style.left = `${xOf(time)}px`;
    cursor.style.height = `${HEIGHT}px`;
    let text = `${duration(state.from)} to ${duration(state.to)}`;
    if (state.at !== null) {
      text = `at ${duration(time)}`;
      if (state.row !== null && state.row >= 0) {
        const found = data.intervals.find(([hart, first, last, , start, end]) =>
          hart === state.hart && first <= state.row && state.row <= last &&
          start <= time && time < end);
        const whose = found ? `${data.owners[found[3]][0]}, ` +
          `${duration(found[4])} to ${duration(found[5])}` : data.whose[data.unused[state.row]];
        text += ` · ${nameOf(state.row)}: ${whose}`;
      } else if (state.row !== null) {
        const mode = MODES[state.row + MODES.length];
        const near = 5 / plot() * (state.to - state.from);
        const here = data.overflows.filter(([when, hart, its]) =>
          hart === state.hart && its === mode && Math.abs(when - time) <= near);
        if (here.length) {
          const whose = [...new Set(here.map(([, , , owner]) => owner))].join(", ");
          text += ` · ${here.length} overflow interrupt${here.length > 1 ? "s" : ""} taken in ` +
            `${mode} by ${whose}`;
        }
      }
    }
    get("details").textContent = text;
    let low = 0, high = data.totals.length;
    while (low < high) {
      const middle = low + high >> 1;
      if (data.totals[middle][0] <= time || state.at === null) low = middle + 1;
      else high = middle;
    }
    const sums = low ? data.totals[low - 1] : [0, 0, 0, 0, 0, 0];
    const overflows = (mode) => data.overflows.filter(([when, , its]) =>
      its === mode && when <= time).length;
    const named = [
      ["VM exits", sums[1]], ["SBI calls of guests", sums[3]], ["SBI calls of the host", sums[2]],
      ["Saves", sums[4]], ["Restores", sums[5]],
      ...MODES.map((mode) => [`Overflows to ${mode}`, overflows(mode)]),
    ];
    get("totals").replaceChildren(
      ...named.map(([name, value]) => pair(name, numbers.format(value))));
  }

  function show(from, to) {
    const span = Math.min(whole, Math.max(LEAST, to - from));
    state.from = Math.max(0, Math.min(from, whole - span));
    state.to = state.from + span;
    draw();
  }

  // Zoom by a factor about a time.
  function zoom(factor, about = (state.from + state.to) / 2) {
    show(about - (about - state.from) * factor, about + (state.to - about) * factor);
  }

  const local = (event) => event.clientX - area.getBoundingClientRect().left;
  const clamped = (x) => Math.max(NAMES, Math.min(NAMES + plot(), x));
  let began = null;

  area.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    began = clamped(local(event));
    area.setPointerCapture(event.pointerId);
  });
  area.addEventListener("pointermove", (event) => {
    const x = clamped(local(event));
    const y = event.clientY - area.getBoundingClientRect().top;
    state.at = timeOf(x);
    state.row = y >= TOP && y < HEIGHT ? Math.floor((y - TOP) / ROW)
      : y < MODES.length * MARKS ? Math.floor(y / MARKS) - MODES.length : null;
    if (began !== null) {
      brush.hidden = Math.abs(x - began) < 3;
      brush.style.left = `${Math.min(x, began)}px`;
      brush.style.width = `${Math.abs(x - began)}px`;
      brush.style.height = `${HEIGHT}px`;
    }
    tell();
  });
  area.addEventListener("pointerup", (event) => {
    if (began === null) return;
    const ends = [timeOf(began), timeOf(clamped(local(event)))].sort((a, b) => a - b);
    const dragged = !brush.hidden;
    began = null;
    brush.hidden = true;
    if (dragged) show(...ends);
  });
  area.addEventListener("pointerleave", () => {
    if (began !== null) return;
    state.at = state.row = null;
    tell();
  });
  area.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      const step = (event.deltaX || event.deltaY) / plot() * (state.to - state.from);
      show(state.from + step, state.to + step);
    } else {
      zoom(event.deltaY < 0 ? 0.8 : 1.25, timeOf(clamped(local(event))));
    }
  }, { passive: false });
  area.addEventListener("dblclick", () => show(0, whole));
  area.addEventListener("keydown", (event) => {
    const step = (state.to - state.from) / 4;
    const moves = {
      ArrowLeft: () => show(state.from - step, state.to - step),
      ArrowRight: () => show(state.from + step, state.to + step),
      "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2),
      Home: () => show(0, state.to - state.from),
      End: () => show(whole - state.to + state.from, whole),
      Escape: () => show(0, whole),
    };
    if (moves[event.key] && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      moves[event.key]();
    }
  });
  get("in").addEventListener("click", () => zoom(0.5));
  get("out").addEventListener("click", () => zoom(2));
  get("everything").addEventListener("click", () => show(0, whole));
  get("hart").addEventListener("change", () => {
    state.hart = Number(get("hart").value);
    draw();
  });
  window.addEventListener("resize", draw);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
})();

// The page of a profile. Everything that is shown is computed here from the event's tree of stacks
// and its entries: samples counted by slice of time, lane (thread and CPU) and node. Texts from the
// profile get on the page as textContent only.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const get = (id) => document.getElementById(id);
  const ROW = 18, LANE = 26, MOST_LANES = 12, FEW_ROWS = 200;
  const numbers = new Intl.NumberFormat("en-US");
  const boxes = data.boxes.map(([label, dso, look, tone]) => ({ label, dso, look, tone }));
  const ROOT = { label: "all", dso: "", look: "comm", tone: "comm-0" };

  function make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }
  const percent = (part, whole, digits = 2) =>
    `${(100 * part / (whole || 1)).toFixed(digits)} %`;

  function duration(ns) {
    const steps = [["s", 1e9], ["ms", 1e6], ["µs", 1e3], ["ns", 1]];
    const [unit, size] = steps.find(([, step]) => Math.abs(ns) >= step) || steps[3];
    return `${Number((ns / size).toPrecision(4))} ${unit}`;
  }

  // 1, 2 or 5 times a power of ten, not less than this.
  function roundStep(least) {
    const power = 10 ** Math.floor(Math.log10(Math.max(1, least)));
    return [1, 2, 5, 10].map((n) => n * power).find((step) => step >= least);
  }

  // --- events

  function unpack(event) {
    const text = atob(event.entries), bytes = text.length;
    let at = 0;
    const next = () => {
      let value = 0, factor = 1, byte;
      do {
        byte = text.charCodeAt(at++);
        value += (byte & 0x7f) * factor;
        factor *= 128;
      } while (byte & 0x80);
      return value;
    };
    const entries = { slice: [], lane: [], node: [], count: [], weight: [] };
    let slice = 0, lane = 0, node = 0;
    while (at < bytes) {
      const step = next(), where = next(), what = next(), count = next();
      const fresh = step !== 0 || where !== lane;
      slice += step;
      lane = where;
      node = fresh ? what : node + what;
      entries.slice.push(slice);
      entries.lane.push(lane);
      entries.node.push(node);
      entries.count.push(count);
      entries.weight.push(event.period ? count * event.period : next());
    }
    return entries;
  }

  function opened(event) {
    if (!event.decoded) {
      event.decoded = unpack(event);
      event.width = Math.max(1, Math.ceil((data.end - data.start + 1) / event.slices));
    }
    return event;
  }

  // --- what is chosen

  const state = {
    event: null, from: null, to: null, row: null, by: "thread", shape: "flame", zoom: 0,
    pattern: null, sort: "self", down: true, filter: "", all: false,
  };
  let tree = null;      // what the flame graph shows: parent, box, weight, count by node
  let rows = [];        // the table's
  let lanes = [];       // the timeline's

  function chosenLanes() {
    if (state.row === null) return null;
    return new Set(state.row.members);
  }

  // The samples in the chosen range and row, as weights by node of the event's tree.
  function selected() {
    const { decoded: entries, parent, box } = state.event;
    const size = parent.length, only = chosenLanes();
    const weight = new Float64Array(size), count = new Float64Array(size);
    for (let n = 0; n < entries.node.length; n++) {
      if (state.from !== null && (entries.slice[n] < state.from || entries.slice[n] > state.to)) {
        continue;
      }
      if (only && !only.has(entries.lane[n])) continue;
      weight[entries.node[n]] += entries.weight[n];
      count[entries.node[n]] += entries.count[n];
    }
    return { parent, box, self: weight, own: count };
  }

  function summed(nodes) {
    const weight = Float64Array.from(nodes.self), count = Float64Array.from(nodes.own);
    for (let n = weight.length - 1; n > 0; n--) {
      weight[nodes.parent[n]] += weight[n];
      count[nodes.parent[n]] += count[n];
    }
    return { ...nodes, weight, count };
  }

  // The same stacks from their innermost frames on.
  function inverted(nodes) {
    const parent = [-1], box = [-1], self = [0], own = [0], children = new Map();
    const wide = boxes.length + 1;
    for (let leaf = 1; leaf < nodes.self.length; leaf++) {
      if (!nodes.self[leaf]) continue;
      let at = 0;
      for (let n = leaf; n > 0; n = nodes.parent[n]) {
        const key = at * wide + nodes.box[n];
        let child = children.get(key);
        if (child === undefined) {
          child = parent.length;
          children.set(key, child);
          parent.push(at);
          box.push(nodes.box[n]);
          self.push(0);
          own.push(0);
        }
        at = child;
      }
      self[at] += nodes.self[leaf];
      own[at] += nodes.own[leaf];
    }
    return { parent, box, self, own };
  }

  // For each function the samples in it, and those in it or in what it called: once for each stack,
  // however often it is on that.
  function symbolRows(nodes) {
    const found = new Map(), outermost = new Uint8Array(nodes.parent.length);
    const row = (box) => {
      if (!found.has(box)) found.set(box, { box, self: 0, total: 0, samples: 0 });
      return found.get(box);
    };
    const children = nodes.parent.map(() => null);
    for (let n = 1; n < nodes.parent.length; n++) (children[nodes.parent[n]] ??= []).push(n);
    const onStack = new Map(), work = [[0, false]];
    while (work.length) {
      const [n, leaving] = work.pop();
      const box = nodes.box[n];
      if (leaving) {
        onStack.set(box, onStack.get(box) - 1);
        continue;
      }
      if (n > 0) {
        const depth = onStack.get(box) || 0;
        outermost[n] = depth === 0;
        onStack.set(box, depth + 1);
        work.push([n, true]);
      }
      for (const child of children[n] || []) work.push([child, false]);
    }
    for (let n = 1; n < nodes.parent.length; n++) {
      const box = boxes[nodes.box[n]];
      if (box.look === "comm" || box.look === "dso" || !nodes.weight[n]) continue;
      const one = row(box);
      one.self += nodes.self[n];
      one.samples += nodes.own[n];
      if (outermost[n]) one.total += nodes.weight[n];
    }
    return [...found.values()];
  }

  function compute() {
    const whole = summed(selected());
    tree = state.shape === "inverted" ? summed(inverted(whole)) : whole;
    state.zoom = 0;
    layOut();
    rows = symbolRows(whole);
    drawFlame();
    drawTable();
    drawSelection(whole);
  }

  // --- flame graph

  const flame = get("flame");
  let shown = new Map();  // element -> node
  let focused = 0;

  function layOut() {
    const children = tree.parent.map(() => null);
    for (let n = 1; n < tree.parent.length; n++) {
      if (tree.weight[n]) (children[tree.parent[n]] ??= []).push(n);
    }
    const name = (n) => boxes[tree.box[n]].label;
    const order = (a, b) => state.shape === "inverted"
      ? tree.weight[b] - tree.weight[a] || a - b
      : name(a) < name(b) ? -1 : name(a) > name(b) ? 1 : a - b;
    tree.offset = new Float64Array(tree.parent.length);
    tree.depth = new Int32Array(tree.parent.length);
    tree.children = children;
    tree.levels = 1;
    const work = [0];
    while (work.length) {
      const n = work.pop();
      let offset = tree.offset[n];
      for (const child of (children[n] || []).sort(order)) {
        tree.offset[child] = offset;
        tree.depth[child] = tree.depth[n] + 1;
        tree.levels = Math.max(tree.levels, tree.depth[child] + 1);
        offset += tree.weight[child];
        work.push(child);
      }
    }
  }

  const boxOf = (n) => n ? boxes[tree.box[n]] : ROOT;

  function saying(n) {
    const box = boxOf(n);
    const where = box.dso ? ` in ${box.dso}` : "";
    const unit = state.event.unit === "ns" ? duration(tree.weight[n])
      : `${numbers.format(tree.weight[n])} events`;
    return `${box.label}${where} · ${data.said[box.look]} · ${percent(tree.weight[n], tree.weight[0])}`
      + ` · ${numbers.format(tree.count[n])} samples · ${unit}`;
  }

  function drawFlame() {
    shown = new Map();
    const area = document.createDocumentFragment();
    const width = flame.clientWidth || 800;
    const zoom = state.zoom, scale = width / (tree.weight[zoom] || 1);
    const up = state.shape === "flame";
    let deepest = tree.depth[zoom];
    const placed = [];
    for (let n = zoom; n >= 0; n = tree.parent[n]) {
      placed.push([n, 0, width, n !== zoom]);
      if (n === 0) break;
    }
    const work = [...(tree.children[zoom] || [])];
    while (work.length) {
      const n = work.pop();
      const wide = tree.weight[n] * scale;
      if (wide < 0.5) continue;
      placed.push([n, (tree.offset[n] - tree.offset[zoom]) * scale, wide, false]);
      deepest = Math.max(deepest, tree.depth[n]);
      for (const child of tree.children[n] || []) work.push(child);
    }
    const height = (deepest + 1) * ROW;
    const elements = new Map();
    for (const [n, left, wide, past] of placed) {
      const box = boxOf(n);
      const element = make("div", { className: `frame ${box.tone}`, title: saying(n) });
      element.setAttribute("role", "treeitem");
      element.setAttribute("aria-label", saying(n));
      element.tabIndex = n === zoom ? 0 : -1;
      element.style.left = `${left}px`;
      element.style.width = `${Math.max(wide, 0.5)}px`;
      element.style.top = `${up ? height - (tree.depth[n] + 1) * ROW : tree.depth[n] * ROW}px`;
      if (wide > 24) element.textContent = box.label;
      else if (wide < 4) element.classList.add("thin");
      if (past) element.classList.add("past");
      if (state.pattern && !state.pattern.test(box.label)) element.classList.add("dim");
      shown.set(element, n);
      elements.set(n, element);
      area.append(element);
    }
    const space = make("div");
    space.style.height = `${height}px`;
    area.append(space);
    flame.replaceChildren(area);
    flame.scrollTop = up ? flame.scrollHeight : 0;
    flame.elements = elements;
    focused = zoom;
    get("reset").disabled = zoom === 0;
    get("graph-hint").textContent = hint();
    drawMatched();
    drawLegend();
  }

  function hint() {
    const parts = [];
    if (!tree.weight[0]) parts.push("No samples here.");
    else if (!state.event.chained) parts.push("Recorded without call chains: functions by object.");
    if (state.shape === "inverted") parts.push("Innermost functions first, their callers below.");
    if (state.event.leftOut) {
      parts.push(`${numbers.format(state.event.leftOut)} small frames are put together.`);
    }
    return parts.join(" ");
  }

  function drawLegend() {
    const looks = new Set();
    for (const n of shown.values()) looks.add(boxOf(n).look);
    const parts = Object.entries(data.said)
      .filter(([look]) => looks.has(look) && look !== "comm" && look !== "dso")
      .map(([look, words]) => make("span", {}, make("i", { className: `${look}-3` }), words));
    get("legend").replaceChildren(...parts);
  }

  function drawMatched() {
    if (!state.pattern) {
      get("matched").textContent = "";
      return;
    }
    let sum = 0;
    const work = [0];
    while (work.length) {
      const n = work.pop();
      if (n && state.pattern.test(boxOf(n).label)) sum += tree.weight[n];
      else work.push(...(tree.children[n] || []));
    }
    get("matched").textContent = `matched ${percent(sum, tree.weight[0])}`;
  }

  function zoomTo(n, focus = true) {
    state.zoom = n;
    drawFlame();
    get("details").textContent = saying(n);
    if (focus) flame.elements.get(n)?.focus();
  }

  flame.addEventListener("click", (event) => {
    const n = shown.get(event.target);
    if (n !== undefined) zoomTo(n);
  });
  for (const kind of ["mouseover", "focusin"]) {
    flame.addEventListener(kind, (event) => {
      const n = shown.get(event.target);
      if (n !== undefined) get("details").textContent = saying(n);
    });
  }
  flame.addEventListener("keydown", (event) => {
    const n = shown.get(event.target);
    if (n === undefined) return;
    const outer = state.shape === "flame" ? "ArrowDown" : "ArrowUp";
    const inner = state.shape === "flame" ? "ArrowUp" : "ArrowDown";
    let next;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      zoomTo(n);
      return;
    }
    const drawn = (m) => flame.elements.has(m);
    if (event.key === outer) next = tree.parent[n];
    else if (event.key === inner) next = (tree.children[n] || []).find(drawn);
    else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      const beside = [...shown.values()].filter((m) => tree.depth[m] === tree.depth[n])
        .sort((a, b) => tree.offset[a] - tree.offset[b]);
      next = beside[beside.indexOf(n) + (event.key === "ArrowRight" ? 1 : -1)];
    } else return;
    event.preventDefault();
    const element = flame.elements.get(next);
    if (element) {
      flame.elements.get(focused).tabIndex = -1;
      element.tabIndex = 0;
      focused = next;
      element.focus();
    }
  });

  // --- table

  const KEYS = {
    self: (row) => row.self, total: (row) => row.total, samples: (row) => row.samples,
    name: (row) => row.box.label, dso: (row) => row.box.dso, kind: (row) => data.said[row.box.look],
  };

  function cell(part, whole) {
    const bar = make("i");
    bar.style.width = `${100 * part / (whole || 1)}%`;
    const meter = make("span", { className: "meter" }, bar);
    meter.setAttribute("aria-hidden", "true");
    return make("td", { className: "number" }, meter,
      make("span", { className: "share", textContent: percent(part, whole) }));
  }

  function drawTable() {
    const key = KEYS[state.sort], sign = state.down ? -1 : 1;
    const wanted = state.filter.toLowerCase();
    const order = (a, b) => (key(a) < key(b) ? -sign : key(a) > key(b) ? sign : 0)
      || b.self - a.self || (a.box.label < b.box.label ? -1 : 1);
    const found = rows
      .filter(({ box }) => `${box.label}\n${box.dso}`.toLowerCase().includes(wanted)).sort(order);
    const some = state.all ? found : found.slice(0, FEW_ROWS);
    const whole = tree.weight[0];
    get("rows").replaceChildren(...some.map((row) => {
      const { box } = row;
      const line = make("tr", {},
        cell(row.self, whole), cell(row.total, whole),
        make("td", { className: "number", textContent: numbers.format(row.samples) }),
        make("td", { className: "name" },
          make("button", { type: "button", textContent: box.label, title: box.label })),
        make("td", { className: "dso", textContent: box.dso }),
        make("td", { className: "kind" }, make("i", { className: box.tone }),
          data.said[box.look]));
      line.addEventListener("click", () => pick(box));
      return line;
    }));
    get("more").hidden = some.length === found.length;
    get("more").textContent = `Show all ${numbers.format(found.length)}`;
    get("symbols-hint").textContent = `${numbers.format(found.length)} symbols`;
    for (const head of document.querySelectorAll("#table th")) {
      if (head.dataset.sort === state.sort) {
        head.setAttribute("aria-sort", state.down ? "descending" : "ascending");
      } else head.removeAttribute("aria-sort");
    }
  }

  // A row of the table: find it in the flame graph, and open its code.
  function pick(box) {
    const text = `^${box.label.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`;
    get("search").value = get("search").value === text ? "" : text;
    search();
    for (const listing of document.querySelectorAll("#listings details")) {
      if (listing.dataset.name === box.label && listing.dataset.dso === box.dso) {
        listing.open = true;
      }
    }
  }

  get("table").tHead.addEventListener("click", (event) => {
    const sort = event.target.closest("th")?.dataset.sort;
    if (!sort) return;
    const text = ["name", "dso", "kind"].includes(sort);
    state.down = state.sort === sort ? !state.down : !text;
    state.sort = sort;
    drawTable();
  });
  get("filter").addEventListener("input", (event) => {
    state.filter = event.target.value;
    drawTable();
  });
  get("more").addEventListener("click", () => {
    state.all = true;
    drawTable();
  });

  // --- timeline

  const area = get("lane-area"), canvas = get("lane-canvas"), brush = get("brush");

  function laneRows() {
    const found = new Map();
    state.event.lanes.forEach(([comm, pid, tid, cpu], index) => {
      const key = state.by === "cpu" ? cpu : `${pid}/${tid}`;
      if (!found.has(key)) found.set(key, { key, pid, tid, cpu, name: "", members: [], weight: 0 });
      const row = found.get(key);
      row.name = state.by === "cpu" ? `CPU ${cpu}` : `${comm} ${tid}`;
      row.members.push(index);
    });
    const list = [...found.values()], of = [];
    list.sort((a, b) => state.by === "cpu" ? a.cpu - b.cpu : a.pid - b.pid || a.tid - b.tid);
    const empty = () => new Float64Array(state.event.slices + 1);
    for (const row of list) {
      row.slices = empty();
      row.kernel = empty();
      for (const member of row.members) of[member] = row;
    }
    const { decoded: entries, box } = state.event;
    for (let n = 0; n < entries.node.length; n++) {
      const row = of[entries.lane[n]], slice = entries.slice[n];
      row.slices[slice] += entries.weight[n];
      row.weight += entries.weight[n];
      if (boxes[box[entries.node[n]]]?.look.includes("kernel")) row.kernel[slice] += entries.weight[n];
    }
    if (list.length <= MOST_LANES) return list;
    const heavy = [...list].sort((a, b) => b.weight - a.weight).slice(0, MOST_LANES - 1);
    const kept = list.filter((row) => heavy.includes(row));
    const others = list.filter((row) => !heavy.includes(row));
    const rest = {
      key: "others", name: `${others.length} others`, weight: 0,
      members: others.flatMap((row) => row.members), slices: empty(), kernel: empty(),
    };
    for (const row of others) {
      row.slices.forEach((value, n) => { rest.slices[n] += value; });
      row.kernel.forEach((value, n) => { rest.kernel[n] += value; });
    }
    return [...kept, rest];
  }

  function drawTimeline() {
    get("time").hidden = data.end <= data.start;
    get("lanes-by").hidden = !state.event.hasCpu;
    lanes = laneRows();
    get("lane-names").replaceChildren(...lanes.map((row) => {
      const on = state.row !== null && state.row.key === row.key;
      const button = make("button", { type: "button", textContent: row.name, title: row.name });
      button.setAttribute("aria-pressed", on);
      button.addEventListener("click", () => {
        state.row = state.row !== null && state.row.key === row.key ? null : row;
        drawTimeline();
        compute();
      });
      return button;
    }));
    const width = area.clientWidth || 800, height = lanes.length * LANE;
    const dense = window.devicePixelRatio || 1;
    canvas.width = width * dense;
    canvas.height = height * dense;
    canvas.style.height = `${height}px`;
    const pen = canvas.getContext("2d");
    pen.scale(dense, dense);
    const style = getComputedStyle(document.documentElement);
    const { slices } = state.event, step = width / slices;
    const highest = Math.max(1, ...lanes.map((row) => row.slices.reduce((a, b) => Math.max(a, b), 0)));
    lanes.forEach((row, n) => {
      const off = state.row !== null && state.row.key !== row.key;
      // Kernel below, all on it: what stands out above is user mode.
      for (const [values, colour] of [[row.slices, "--bar"], [row.kernel, "--bar-kernel"]]) {
        pen.fillStyle = style.getPropertyValue(off ? "--dim" : colour);
        for (let k = 0; k < slices; k++) {
          if (!values[k]) continue;
          const tall = Math.max(2, (LANE - 5) * values[k] / highest);
          pen.fillRect(k * step, (n + 1) * LANE - 2 - tall, Math.max(1, step - 0.4), tall);
        }
      }
      pen.fillStyle = style.getPropertyValue("--line");
      pen.fillRect(0, (n + 1) * LANE - 1, width, 1);
    });
    const span = data.end - data.start;
    const every = roundStep(span / 6), ticks = [];
    for (let at = 0; at <= span; at += every) {
      const tick = make("span", { textContent: at ? duration(at) : "0" });
      tick.style.left = `${100 * at / (span || 1)}%`;
      if (at > 0.96 * span) tick.className = "last";
      ticks.push(tick);
    }
    get("ticks").replaceChildren(...ticks);
    drawBrush();
  }

  function drawBrush() {
    brush.hidden = state.from === null;
    if (state.from === null) return;
    const step = area.clientWidth / state.event.slices;
    brush.style.left = `${state.from * step}px`;
    brush.style.width = `${Math.max(2, (state.to - state.from + 1) * step)}px`;
    brush.style.height = `${lanes.length * LANE}px`;
  }

  function range(from, to) {
    const last = state.event.slices - 1;
    const clamp = (value) => Math.max(0, Math.min(last, value));
    state.from = from === null ? null : clamp(Math.min(from, to));
    state.to = from === null ? null : clamp(Math.max(from, to));
    drawBrush();
  }

  function drawSelection(whole) {
    const parts = [];
    if (state.from !== null) {
      const { width } = state.event;
      const to = Math.min((state.to + 1) * width, data.end - data.start);
      parts.push(`${duration(state.from * width)} – ${duration(to)}`);
    }
    if (state.row !== null) parts.push(state.row.name);
    const all = state.event.samples;
    const now = numbers.format(whole.count[0]);
    parts.push(parts.length ? `${now} of ${numbers.format(all)} samples` : `${now} samples`);
    get("selection").textContent = parts.join(" · ");
    get("everything").disabled = state.from === null && state.row === null;
  }

  let dragged = null;
  const sliceAt = (event) => {
    const { left, width } = area.getBoundingClientRect();
    return Math.floor((event.clientX - left) / width * state.event.slices);
  };
  area.addEventListener("pointerdown", (event) => {
    dragged = sliceAt(event);
    area.setPointerCapture(event.pointerId);
    range(dragged, dragged);
  });
  area.addEventListener("pointermove", (event) => {
    if (dragged !== null) range(dragged, sliceAt(event));
  });
  area.addEventListener("pointerup", (event) => {
    if (dragged === null) return;
    const end = sliceAt(event);
    // A click without a drag is no range.
    if (end === dragged) range(null);
    dragged = null;
    compute();
  });
  area.addEventListener("pointercancel", () => {
    dragged = null;
    compute();
  });
  area.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const part = Math.max(1, Math.round(state.event.slices / 40)) * step;
    if (state.from === null) range(0, Math.round(state.event.slices / 10));
    else if (event.shiftKey) range(state.from, Math.max(state.from, state.to + part));
    else range(state.from + part, state.to + part);
    compute();
  });

  // --- code

  function drawListings() {
    const { listings } = state.event;
    get("code").hidden = !listings.length;
    get("listings").replaceChildren(...listings.map(({ name, dso, percent: part, lines }, n) => {
      const body = make("tbody");
      for (const [share, address, text] of lines) {
        const row = make("tr", { className: address ? "" : "source" },
          make("td", { textContent: share ? share.toFixed(2) : "" }),
          make("td", { textContent: address }), make("td", { textContent: text }));
        if (share) {
          row.classList.add("hot");
          const shade = Math.min(0.75, 0.06 + share / 40);
          row.style.background = `rgb(${warm().trim()} / ${shade})`;
        }
        body.append(row);
      }
      const listing = make("details", { open: n === 0 },
        make("summary", {}, make("b", { textContent: `${part.toFixed(2)} %` }), name, " ",
          make("span", { textContent: dso })),
        make("div", { className: "listing" }, make("table", {}, body)));
      listing.querySelector(".listing").tabIndex = 0;
      // What is opened shows its hottest instruction.
      listing.addEventListener("toggle", () => {
        const hot = lines.reduce((best, line, at) => line[0] > lines[best][0] ? at : best, 0);
        const frame = listing.querySelector(".listing"), row = body.children[hot];
        if (row) frame.scrollTop = row.offsetTop - frame.clientHeight / 2;
      });
      listing.dataset.name = name;
      listing.dataset.dso = dso;
      return listing;
    }));
  }
  const warm = () => getComputedStyle(document.documentElement).getPropertyValue("--warm");

  // --- the rest

  function search() {
    const text = get("search").value;
    try {
      state.pattern = text ? new RegExp(text, "i") : null;
    } catch {
      get("matched").textContent = "not a pattern";
      return;
    }
    drawFlame();
  }

  function choose(index) {
    state.event = opened(data.events[index]);
    state.from = state.to = state.row = null;
    state.by = "thread";
    press("lanes-by", "by", "thread");
    drawTimeline();
    compute();
    drawListings();
  }

  function press(group, key, value) {
    for (const button of get(group).children) {
      button.setAttribute("aria-pressed", button.dataset[key] === value);
    }
  }

  get("shape").addEventListener("click", (event) => {
    const { shape } = event.target.dataset;
    if (!shape) return;
    state.shape = shape;
    press("shape", "shape", shape);
    compute();
  });
  get("lanes-by").addEventListener("click", (event) => {
    const { by } = event.target.dataset;
    if (!by) return;
    state.by = by;
    state.row = null;
    press("lanes-by", "by", by);
    drawTimeline();
    compute();
  });
  get("search").addEventListener("input", search);
  get("reset").addEventListener("click", () => zoomTo(0, false));
  get("everything").addEventListener("click", () => {
    state.row = null;
    range(null);
    drawTimeline();
    compute();
  });
  get("event").addEventListener("change", (event) => choose(Number(event.target.value)));
  window.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input, select");
    if ((event.ctrlKey || event.metaKey) && event.key === "f" || event.key === "/" && !typing) {
      event.preventDefault();
      get("search").focus();
      get("search").select();
    } else if (event.key === "Escape") {
      if (get("search").value) {
        get("search").value = "";
        search();
      } else if (state.zoom) zoomTo(0, false);
      else if (!get("everything").disabled) get("everything").click();
    }
  });
  let later = 0;
  window.addEventListener("resize", () => {
    cancelAnimationFrame(later);
    later = requestAnimationFrame(() => {
      drawTimeline();
      drawFlame();
    });
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawTimeline);

  const [command, ...facts] = data.facts;
  get("command").textContent = command ? command[1] : "";
  document.title = `${command ? command[1] : "profile"} – rvperf report`;
  get("facts").append(...facts.map(([name, value]) =>
    make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value }))));
  get("event").append(...data.events.map((event, n) =>
    make("option", { value: n, textContent: `${event.name} (${numbers.format(event.samples)} samples)` })));
  get("event").closest("label").hidden = data.events.length < 1;
  const first = data.events.findIndex((event) => event.samples);
  get("event").value = String(Math.max(0, first));
  choose(Math.max(0, first));
})();

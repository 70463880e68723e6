// Zoom, search and keyboard for a flame graph. Frames say themselves where they are: data-o and
// data-w are offset and width in events, data-d is the depth. The first line of a title is the name.
"use strict";
(() => {
  const svg = document.documentElement;
  const number = (name) => Number(svg.dataset[name]);
  const total = number("total"), levels = number("levels"), row = number("row");
  const top = number("top"), bottom = number("bottom"), side = number("side");
  const letter = number("letter");
  const get = (id) => document.getElementById(id);
  const search = get("search"), matched = get("matched"), reset = get("reset");
  const details = get("details"), controls = get("controls"), heading = get("heading");

  const frames = Array.from(get("frames").children, (element) => {
    const title = element.firstElementChild.textContent;
    return {
      element, title,
      rect: element.children[1], text: element.children[2],
      name: title.split("\n", 1)[0],
      offset: Number(element.dataset.o), width: Number(element.dataset.w),
      depth: Number(element.dataset.d), shown: true, hit: false,
    };
  });
  const byElement = new Map(frames.map((frame) => [frame.element, frame]));
  const root = frames[0];
  let zoomed = root, current = root;

  function within(inner, outer) {
    return inner.offset >= outer.offset && inner.offset + inner.width <= outer.offset + outer.width;
  }

  function fitted(text, width) {
    const room = Math.floor(width / letter);
    if (text.length <= room) return text;
    return room >= 3 ? text.slice(0, room - 1) + "…" : "";
  }

  function draw() {
    const width = Math.max(320, svg.clientWidth || number("width") || 1200);
    svg.setAttribute("viewBox", `0 0 ${width} ${top + levels * row + bottom}`);
    const room = Math.min(460, width * 0.42);
    controls.setAttribute("width", room);
    controls.setAttribute("x", width - side - room);
    heading.textContent = heading.dataset.text;
    const space = width - room - 3 * side, needed = heading.getComputedTextLength();
    if (needed > space) {
      const fits = Math.floor(heading.dataset.text.length * space / needed) - 1;
      heading.textContent = `${heading.dataset.text.slice(0, Math.max(1, fits))}…`;
    }
    const scale = (width - 2 * side) / Math.max(1, zoomed.width);
    for (const frame of frames) {
      const past = frame.depth < zoomed.depth && within(zoomed, frame);
      const inside = frame.depth >= zoomed.depth && within(frame, zoomed);
      const wide = past ? width - 2 * side : frame.width * scale;
      frame.shown = (past || inside) && wide >= 0.1;
      frame.element.classList.toggle("off", !frame.shown);
      if (!frame.shown) continue;
      const x = past ? side : side + (frame.offset - zoomed.offset) * scale;
      frame.element.classList.toggle("past", past);
      frame.rect.setAttribute("x", x);
      frame.rect.setAttribute("width", wide);
      frame.text.setAttribute("x", x + 4);
      frame.text.textContent = fitted(frame.name, wide - 6);
    }
    reset.disabled = zoomed === root;
  }

  function zoom(frame) {
    zoomed = frame;
    draw();
    focus(frame);
  }

  function describe(frame) {
    details.textContent = frame ? frame.title.split("\n").join(" · ") : "";
  }

  // One frame at a time can be reached with Tab; from there it goes on with the arrows.
  function focus(frame) {
    current.element.removeAttribute("tabindex");
    current = frame;
    frame.element.setAttribute("tabindex", "0");
    frame.element.focus({ preventScroll: false });
    describe(frame);
  }

  function neighbour(frame, key) {
    const shown = frames.filter((other) => other.shown);
    if (key === "ArrowDown") {
      return shown.find((other) => other.depth === frame.depth - 1 && within(frame, other));
    }
    if (key === "ArrowUp") {
      return shown.find((other) => other.depth === frame.depth + 1 && within(other, frame));
    }
    const beside = shown.filter((other) => other.depth === frame.depth);
    return beside[beside.indexOf(frame) + (key === "ArrowRight" ? 1 : -1)];
  }

  function find(text) {
    let pattern = null;
    if (text) {
      try {
        pattern = new RegExp(text, "i");
      } catch {
        matched.textContent = "not a pattern";
        return;
      }
    }
    // What is above another match on the same stack counts once: parents come before children.
    let sum = 0, end = -1;
    for (const frame of frames) {
      frame.hit = pattern !== null && frame !== root && pattern.test(frame.name);
      frame.element.classList.toggle("dim", pattern !== null && !frame.hit);
      if (frame.hit && frame.offset >= end) {
        sum += frame.width;
        end = frame.offset + frame.width;
      }
    }
    matched.textContent = pattern ? `matched ${(100 * sum / Math.max(1, total)).toFixed(2)} %` : "";
  }

  svg.addEventListener("click", (event) => {
    const frame = byElement.get(event.target.closest(".f"));
    if (frame) zoom(frame);
  });
  svg.addEventListener("mouseover", (event) => {
    const frame = byElement.get(event.target.closest(".f"));
    if (frame) describe(frame);
  });
  svg.addEventListener("focusin", (event) => {
    const frame = byElement.get(event.target.closest(".f"));
    if (frame) describe(frame);
  });
  window.addEventListener("keydown", (event) => {
    const inBox = event.target === search;
    if ((event.ctrlKey || event.metaKey) && event.key === "f" || event.key === "/" && !inBox) {
      event.preventDefault();
      search.focus();
      search.select();
    } else if (event.key === "Escape") {
      if (search.value) {
        search.value = "";
        find("");
      } else if (zoomed !== root) {
        zoom(root);
      }
    } else if (!inBox && byElement.has(event.target)) {
      const frame = byElement.get(event.target);
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        zoom(frame);
      } else if (event.key.startsWith("Arrow")) {
        event.preventDefault();
        const next = neighbour(frame, event.key);
        if (next) focus(next);
      }
    }
  });
  search.addEventListener("input", () => find(search.value));
  reset.addEventListener("click", () => zoom(root));
  window.addEventListener("resize", draw);

  controls.classList.remove("off");
  svg.setAttribute("width", "100%");
  root.element.setAttribute("tabindex", "0");
  for (const frame of frames) frame.element.setAttribute("role", "treeitem");
  draw();
})();

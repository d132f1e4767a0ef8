// What a page can do beside being read: plots that tell, hide, scale and zoom; tables that sort and filter.
// Without it the page has the same content as still pictures and plain tables. Nothing is fetched.
"use strict";
(() => {
  const SVG = document.querySelector("svg")?.namespaceURI;
  const HEIGHT = 340, TOP = 12, BOTTOM = 46, LEFT = 72, RIGHT = 16;

  const element = (name, attributes = {}, text) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const drawn = (parent, name, attributes, text) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  };
  const button = (text, pressed) => {
    const made = element("button", { type: "button" }, text);
    if (pressed !== undefined) made.setAttribute("aria-pressed", pressed);
    return made;
  };

  // Numbers as the page writes them.
  const digits = (value, most = 3) =>
    value.toLocaleString("en", { maximumSignificantDigits: Math.max(most, Math.floor(Math.log10(Math.abs(value) || 1)) + 1) });
  const STEPS = {
    ns: [[1e9, " s"], [1e6, " ms"], [1e3, " µs"], [1, " ns"]],
    bytes: [[1e9, " GB"], [1e6, " MB"], [1e3, " kB"], [1, " B"]],
    instructions: [[1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]],
  };
  const short = (axis, value) => {
    if (axis.kind === "named" || axis.kind === "percentiles") {
      const near = axis.ticks.find(([at]) => Math.abs(at - value) < 1e-6 * Math.abs(at) + 1e-9);
      if (near) return near[1];
    }
    if (axis.kind === "percentiles") return "p" + digits(100 * (1 - 1 / value), 4);
    const step = (STEPS[axis.kind] || []).find(([least]) => Math.abs(value) >= least * 0.9999);
    return step ? digits(value / step[0]) + step[1] : digits(value);
  };
  const whole = (axis, value) =>
    axis.kind === "instructions" ? digits(value, 3) + " instructions" : short(axis, value);

  // Round places between two ends: those of the still picture as long as enough of them are seen.
  const ticks = (axis, low, high, log) => {
    const given = axis.ticks.map(([at]) => at).filter((at) => at >= low && at <= high);
    if (axis.kind === "named" || given.length > 2 && log === axis.log) return given;
    const found = [];
    if (log && low > 0) {
      for (let power = 10 ** Math.floor(Math.log10(low)); power <= high; power *= 10) {
        for (const step of [1, 2, 5]) if (step * power >= low && step * power <= high) found.push(step * power);
      }
      if (found.length > 1) return found.length > 8 ? found.filter((at) => Math.abs(Math.log10(at) % 1) < 1e-9) : found;
    }
    const power = 10 ** Math.floor(Math.log10((high - low) / 5 || 1));
    const step = [1, 2, 5, 10].map((one) => one * power).find((one) => (high - low) / one <= 6);
    const places = [];
    for (let at = Math.ceil(low / step) * step; at <= high * (1 + 1e-12); at += step) places.push(at);
    return places;
  };

  // A button that hides what it names, and shows it again.
  const legend = (name, { light, dark }, hidden, changed) => {
    const made = button(name || "all", true);
    made.className = "key";
    made.style.cssText = `--light:${light};--dark:${dark}`;
    made.addEventListener("click", () => {
      const shown = hidden.delete(name);
      if (!shown) hidden.add(name);
      made.setAttribute("aria-pressed", shown);
      changed();
    });
    return made;
  };

  class Plot {
    constructor(figure, data) {
      Object.assign(this, { figure, data, hidden: new Set(), log: data.y.log, zoom: null, at: null });
      this.title = figure.querySelector("svg title").textContent;
      this.live = element("div", { class: "live" });
      this.live.append(element("p", { class: "plot-title" }, this.title), element("p", { class: "note" }, data.y.title));
      this.live.append(this.controls());
      this.area = element("div", { class: "area" });
      this.tip = element("div", { class: "tip", role: "status", hidden: "" });
      this.live.append(this.area, this.tip, element("p", { class: "note keys" },
        "Point or tap for values; arrow keys walk, Enter leads to the cells; drag across, or + and 0, to zoom."));
      figure.prepend(this.live);
      figure.classList.add("explored");
      new ResizeObserver(() => this.draw()).observe(this.area);
    }

    controls() {
      const row = element("div", { class: "controls", role: "group", "aria-label": "Lines of this plot" });
      for (const group of new Set(this.data.series.map((one) => one.group))) {
        const paint = this.data.series.find((one) => one.group === group);
        row.append(legend(group, paint, this.hidden, () => {
          this.tell(null);
          this.draw();
        }));
      }
      const scale = button("log scale", this.log);
      scale.addEventListener("click", () => {
        this.log = !this.log;
        scale.setAttribute("aria-pressed", this.log);
        this.draw();
      });
      this.back = button("whole range");
      this.back.hidden = true;
      this.back.addEventListener("click", () => this.narrow(null));
      row.append(scale, this.back);
      return row;
    }

    // Lines that are shown, with their points inside the zoomed range.
    shown() {
      const inside = ([x]) => !this.zoom || (x >= this.zoom[0] && x <= this.zoom[1]);
      return this.data.series.filter((one) => !this.hidden.has(one.group)).map((one) => ({
        ...one, points: one.points.map((point, index) => ({ point, told: one.told[index] })).filter(({ point }) => inside(point)),
      }));
    }

    scales(series) {
      const { x, y } = this.data;
      const width = Math.max(this.area.clientWidth, 240);
      const [left, right] = this.zoom || x.ends;
      let [low, high] = y.ends;
      const values = series.flatMap((one) => one.points.map(({ point }) => point[1])).filter((value) => !this.log || value > 0);
      if (values.length && (this.zoom || this.hidden.size || this.log !== y.log)) {
        const [least, most] = [Math.min(...values), Math.max(...values)];
        [low, high] = this.log ? [least / 1.3, most * 1.3] : [Math.min(0, least), most * 1.08 || 1];
      }
      const place = (log, from, to, start, end) => {
        const [a, b] = log ? [Math.log(from), Math.log(to)] : [from, to];
        return (value) => start + ((log ? Math.log(value) : value) - a) / (b - a || 1) * (end - start);
      };
      const log = x.log && left > 0;
      const across = place(log, left, right, LEFT, width - RIGHT);
      const up = place(this.log, low, high, HEIGHT - BOTTOM, TOP);
      const back = (pixel) => {
        const share = Math.min(1, Math.max(0, (pixel - LEFT) / (width - RIGHT - LEFT)));
        return log ? left * (right / left) ** share : left + share * (right - left);
      };
      return { width, left, right, low, high, log, across, up, back };
    }

    draw() {
      const { x, y } = this.data;
      const series = this.shown();
      const scales = (this.now = this.scales(series));
      const { width, across, up } = scales;
      const focused = this.area.contains(document.activeElement);
      this.area.replaceChildren();
      const svg = (this.svg = drawn(this.area, "svg", {
        viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "application", tabindex: 0,
        "aria-roledescription": "plot", "aria-label": `${this.title}: use the arrow keys`,
      }));
      let last = -99;
      for (const at of ticks(x, scales.left, scales.right, scales.log)) {
        const label = short(x, at), place = across(at), half = label.length * 3.6;
        if (place - half < last + 8) continue;
        last = place + half;
        drawn(svg, "text", { x: Math.min(place, width - half), y: HEIGHT - 26, "text-anchor": "middle" }, label);
      }
      drawn(svg, "text", { class: "axis", x: (LEFT + width) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, x.title);
      for (const at of ticks(y, scales.low, scales.high, this.log)) {
        drawn(svg, "path", { class: "grid", d: `M${LEFT} ${up(at)}H${width - RIGHT}` });
        drawn(svg, "text", { x: LEFT - 8, y: up(at) + 4, "text-anchor": "end" }, short(y, at));
      }
      this.marks = [];
      for (const one of series) this.line(svg, one);
      this.band = drawn(svg, "rect", { class: "band", y: TOP, height: HEIGHT - BOTTOM - TOP, width: 0 });
      this.ring = drawn(svg, "circle", { class: "ring", r: 7, visibility: "hidden" });
      this.listen(svg);
      if (focused) svg.focus({ preventScroll: true });
    }

    line(svg, one) {
      const { across, up } = this.now;
      const group = drawn(svg, "g", { class: "series", "data-group": one.group, style: `--light:${one.light};--dark:${one.dark}` });
      const points = one.points.filter(({ point }) => !this.log || point[1] > 0);
      const places = points.map(({ point }) => [across(point[0]), up(point[1])]);
      if (one.width && places.length) {
        const d = "M" + places.map(([a, b]) => `${a.toFixed(1)} ${b.toFixed(1)}`).join("L");
        drawn(group, "path", { class: "line", d, "stroke-width": one.width, "stroke-dasharray": one.dash });
      }
      points.forEach(({ point, told }, index) => {
        const [cx, cy] = places[index];
        if (one.mark) drawn(group, "circle", { class: one.mark, cx, cy, r: one.mark === "ring" ? 6 : 4 });
        this.marks.push({ one, point, told, cx, cy });
      });
    }

    listen(svg) {
      const pixel = (event) => {
        const box = svg.getBoundingClientRect();
        return [(event.clientX - box.left) * this.now.width / box.width, event.clientY - box.top];
      };
      const nearest = ([x, y]) => {
        const far = (mark) => (mark.cx - x) ** 2 + (mark.cy - y) ** 2;
        return this.marks.reduce((best, mark) => (!best || far(mark) < far(best) ? mark : best), null);
      };
      let from = null;
      svg.addEventListener("pointerdown", (event) => { from = pixel(event); });
      svg.addEventListener("pointermove", (event) => {
        const at = pixel(event);
        if (from && Math.abs(at[0] - from[0]) > 8) {
          this.band.setAttribute("x", Math.min(from[0], at[0]));
          this.band.setAttribute("width", Math.abs(at[0] - from[0]));
        } else this.tell(nearest(at));
      });
      svg.addEventListener("pointerup", (event) => {
        const at = pixel(event);
        const ends = from && [from[0], at[0]].sort((a, b) => a - b);
        from = null;
        if (ends && ends[1] - ends[0] > 20) this.narrow(ends.map(this.now.back));
        else this.tell(nearest(at));
      });
      svg.addEventListener("pointerleave", () => { from = null; if (document.activeElement !== svg) this.tell(null); });
      svg.addEventListener("blur", () => this.tell(null));
      svg.addEventListener("focus", () => { if (!this.at && this.marks.length) this.tell(this.marks[0]); });
      svg.addEventListener("keydown", (event) => this.key(event));
    }

    key(event) {
      const here = this.marks.findIndex((mark) => this.at && mark.one.group === this.at.one.group
        && mark.one.what === this.at.one.what && mark.point === this.at.point);
      const lines = [...new Set(this.marks.map((mark) => mark.one))];
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key], turn = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step) this.tell(this.marks[(here + step + this.marks.length) % this.marks.length]);
      else if (turn && here >= 0) {
        const line = lines[(lines.indexOf(this.marks[here].one) + turn + lines.length) % lines.length];
        const far = (mark) => Math.abs(mark.cx - this.marks[here].cx);
        const mine = this.marks.filter((mark) => mark.one === line);
        this.tell(mine.reduce((best, mark) => (far(mark) < far(best) ? mark : best)));
      } else if (event.key === "Enter" && this.at && this.at.told && this.at.told[3]) location.hash = this.at.told[3];
      else if (event.key === "Escape") this.tell(null);
      else if (event.key === "0") this.narrow(null);
      else if (event.key === "+" && this.at) {
        const middle = this.at.cx, reach = (this.now.width - LEFT - RIGHT) / 4;
        this.narrow([middle - reach, middle + reach].map(this.now.back));
      } else return;
      event.preventDefault();
    }

    narrow(range) {
      const inside = (range || [-Infinity, Infinity]);
      const any = this.data.series.some((one) => one.points.some(([x]) => x >= inside[0] && x <= inside[1]));
      if (!any) return;
      this.zoom = range;
      this.back.hidden = !range;
      this.draw();
    }

    tell(mark) {
      this.at = mark;
      this.tip.hidden = !mark;
      this.ring.setAttribute("visibility", mark ? "visible" : "hidden");
      this.band.setAttribute("width", 0);
      if (!mark) return;
      this.ring.setAttribute("cx", mark.cx);
      this.ring.setAttribute("cy", mark.cy);
      const { x, y } = this.data, [across, value] = mark.point;
      const [between, samples, seeds, anchor] = mark.told || [];
      const name = [mark.one.group, mark.one.what].filter(Boolean).join(", ");
      const where = x.kind === "plain" ? `${x.title} ${digits(across)}` : short(x, across);
      const told = [`${name}: ${whole(y, value)}`, where];
      if (between) told.push(`interval ${short(y, between[0])} to ${short(y, between[1])}`);
      if (samples) told.push(`${digits(samples)} samples, ${seeds} seed${seeds === 1 ? "" : "s"}`);
      this.tip.replaceChildren(...told.map((text) => element("span", {}, text)));
      if (anchor) this.tip.append(element("a", { href: "#" + anchor }, "cells"));
    }
  }

  // Bars of shares, whose parts can be hidden, and whose lengths can be amounts instead.
  class Bars {
    constructor(figure, data) {
      Object.assign(this, { data, hidden: new Set(), shares: true });
      this.live = element("div", { class: "live" });
      const title = figure.querySelector("svg title").textContent;
      const keys = element("div", { class: "controls", role: "group", "aria-label": "Parts of these bars" });
      for (const part of data.parts) {
        keys.append(legend(part.group, part, this.hidden, () => this.draw()));
      }
      const scale = button("shares", true);
      scale.addEventListener("click", () => {
        this.shares = !this.shares;
        scale.setAttribute("aria-pressed", this.shares);
        this.draw();
      });
      keys.append(scale);
      this.area = element("div", { class: "bars", role: "group", tabindex: 0, "aria-label": `${title}: use the arrow keys` });
      this.tip = element("div", { class: "tip", role: "status", hidden: "" });
      this.live.append(element("p", { class: "plot-title" }, title), keys, this.area, this.tip);
      figure.prepend(this.live);
      figure.classList.add("explored");
      this.area.addEventListener("pointermove", (event) => this.tell(event.target.told));
      this.area.addEventListener("click", (event) => this.tell(event.target.told));
      this.area.addEventListener("pointerleave", () => this.tell());
      this.area.addEventListener("blur", () => this.tell());
      this.area.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 1, ArrowUp: -1 }[event.key];
        if (!step) return;
        event.preventDefault();
        const all = [...this.area.querySelectorAll("i")];
        const next = all[(all.findIndex((one) => one.told === this.at) + step + all.length) % all.length];
        this.tell(next && next.told);
      });
      this.draw();
    }

    draw() {
      const shown = this.data.bars.map((bar) => ({ ...bar, parts: bar.parts.filter(([part]) => !this.hidden.has(part)) }));
      const sum = (bar) => bar.parts.reduce((all, [, value]) => all + value, 0);
      const most = Math.max(...shown.map(sum));
      let group;
      this.area.replaceChildren();
      for (const bar of shown) {
        if (bar.group !== group) this.area.append(element("p", { class: "note" }, (group = bar.group)));
        const row = element("div", { class: "bar" }), track = element("div");
        for (const [part, value] of bar.parts) {
          const paint = this.data.parts.find((one) => one.group === part);
          const piece = element("i");
          piece.style.cssText = `--light:${paint.light};--dark:${paint.dark};width:${100 * value / ((this.shares ? sum(bar) : most) || 1)}%`;
          piece.told = [`${bar.label}, ${bar.group}, ${part}: ${whole(this.data, value)}`, `${digits(100 * value / (sum(bar) || 1), 2)}% of what is shown`];
          track.append(piece);
        }
        row.append(element("span", {}, bar.label), track, element("span", {}, short(this.data, sum(bar))));
        this.area.append(row);
      }
    }

    tell(told) {
      this.at = told;
      this.tip.hidden = !told;
      if (told) this.tip.replaceChildren(...told.map((text) => element("span", {}, text)));
    }
  }

  // A cell as something to sort by: its first number in its unit, or its text.
  const UNITS = { k: 1e3, M: 1e6, G: 1e9, T: 1e12, ns: 1, "µs": 1e3, ms: 1e6, s: 1e9, B: 1, kB: 1e3, MB: 1e6, GB: 1e9, million: 1e6, billion: 1e9 };
  const key = (cell, numeric) => {
    const text = cell ? cell.firstChild ? cell.textContent.trim() : "" : "";
    if (!numeric) return text.toLowerCase();
    const found = text.replaceAll(",", "").match(/^([+-]?[\d.]+(?:e-?\d+)?)\s?([A-Za-zµ]*)/);
    return found ? Number(found[1]) * (UNITS[found[2]] || 1) : text ? 0 : -Infinity;
  };

  const sortable = (table) => {
    const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
    heads.forEach((head, column) => {
      if (!head.textContent) return;
      const made = button(head.textContent);
      head.replaceChildren(made);
      made.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((one) => one.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        table.classList.add("sorted");
        const numeric = head.classList.contains("n");
        const rows = [...body.rows].map((row) => [key(row.cells[column], numeric), row]);
        rows.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1));
        body.append(...rows.map(([, row]) => row));
      });
    });
  };

  const filterable = (table) => {
    const label = element("label", { class: "filter" }, "filter ");
    const field = element("input", { type: "search", placeholder: "ipvs 1,000" });
    const count = element("span", { role: "status" });
    label.append(field, " ", count);
    table.parentElement.before(label);
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      const rows = [...table.tBodies[0].rows];
      for (const row of rows) {
        const cells = [...row.cells].map((cell) => cell.textContent.toLowerCase().trim());
        const fits = (word) => (/^[\d,.]+$/.test(word) ? cells.includes(word) : cells.some((cell) => cell.includes(word)));
        row.hidden = !words.every(fits);
      }
      const left = rows.filter((row) => !row.hidden).length;
      count.textContent = words.length ? `${left} of ${rows.length} rows` : "";
    });
  };

  // A place inside a folded part is of use only where that opens.
  const open = () => {
    const place = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let up = place && place.parentElement; up; up = up.parentElement) if (up.tagName === "DETAILS") up.open = true;
    if (place) place.scrollIntoView({ block: "center" });
  };

  for (const data of document.querySelectorAll("figure > script[type='application/json']")) {
    const parsed = JSON.parse(data.textContent);
    new (parsed.bars ? Bars : Plot)(data.parentElement, parsed);
  }
  for (const table of document.querySelectorAll(".scroll > table")) {
    if (table.tBodies[0].rows.length > 2) sortable(table);
    if (table.tBodies[0].rows.length > 9) filterable(table);
  }
  addEventListener("hashchange", open);
  open();
})();

// Painting a mask by hand: every pixel of the photo belongs to one region, or to none.

import { api, showIn, thumbnail, view } from "./api.js";
import { ask, button, el, icon, iconButton, openDialog, refill, say, slider, words } from "./dom.js";
import { pickFiles } from "./intake.js";
import { change, draft, on, server, setSetting, valueOf } from "./state.js";
import { show } from "./stage.js";

const LONG_SIDE = 1024;
const UNDOS = 30;
const COLOURS = [[232, 84, 60], [60, 120, 220], [56, 166, 92], [222, 170, 40], [150, 90, 200], [40, 170, 180], [220, 100, 160], [120, 120, 60]];

let current = null;

/** Open the painter over the picture, with the regions of the draft. */
export async function openPainter() {
  if (!draft.photo || current) return;
  if (draft.mask?.regions.some(({ colour }) => colour)) {
    say("This mask is a map of colours. It is used as it is, and cannot be edited here. Remove it to paint another.", { seconds: 9 });
    return;
  }
  show({ type: "live" });
  current = new Painter(draft.photo);
  await current.load(draft.mask?.regions ?? []);
}

export const painterIsOpen = () => current !== null;

/** Close the painter before something else takes its place; resolves to whether it is closed. */
export async function leavePainter() {
  if (current?.undos.length && !(await ask("Discard the mask?", "What you have painted is not in use yet.", "Discard it", "Go on painting"))) return false;
  current?.close();
  return true;
}

on("draft", () => { if (current && current.photo.id !== draft.photo?.id) current.close(); });

class Painter {
  constructor(photo) {
    this.photo = photo;
    const scale = Math.min(1, LONG_SIDE / Math.max(photo.width, photo.height));
    this.width = Math.max(1, Math.round(photo.width * scale));
    this.height = Math.max(1, Math.round(photo.height * scale));
    this.labels = new Uint8Array(this.width * this.height);
    this.regions = [];
    this.active = 1;
    this.erasing = false;
    this.radius = Math.round(Math.max(this.width, this.height) / 22);
    this.undos = [];
    this.cursor = [this.width / 2, this.height / 2];
    this.build();
  }

  build() {
    const img = el("img", { alt: "", draggable: false });
    showIn(img, view(this.photo.id));
    this.canvas = el("canvas", {
      width: this.width, height: this.height, tabIndex: 0, id: "mask-canvas", role: "application",
      "aria-label": "Mask. Arrow keys move the brush, Space paints, E switches the eraser.",
    });
    this.context = this.canvas.getContext("2d");
    this.pixels = this.context.createImageData(this.width, this.height);
    this.brush = el("div", { class: "brush", hidden: true });
    const picture = el("div", { class: "picture", vars: { "--ratio": this.width / this.height } }, img, this.canvas, this.brush);
    this.list = el("div", { class: "regions", role: "group", "aria-label": "Regions" });
    this.tools = {
      brush: button("Brush", { icon: "brush", kind: "small", onclick: () => this.erase(false) }),
      eraser: button("Eraser", { icon: "eraser", kind: "small", onclick: () => this.erase(true) }),
      undo: iconButton("Undo", "undo", { kind: "small", onclick: () => this.undo() }),
    };
    const side = Math.max(this.width, this.height);
    this.size = slider({ min: 2, max: Math.round(side / 6), step: 1, value: this.radius, "aria-label": "Brush size", oninput: () => { this.radius = Number(this.size.value); this.showBrush(); } });
    const feather = slider({ min: 0, max: 80, step: 1, value: Math.min(80, valueOf("feather") ?? 0), "aria-label": "Soft edge in px", oninput: () => setSetting("feather", Number(feather.value)) });
    this.node = el("div", { class: "painter", role: "region", "aria-label": "Mask" },
      el("div", { class: "painter-tools" },
        el("div", { class: "first" },
          this.list,
          el("div", { class: "row" },
            button("Cancel", { kind: "small", onclick: () => this.close() }),
            button("Use the mask", { kind: "small primary", id: "use-mask", onclick: () => this.use() }))),
        el("div", { class: "row" }, this.tools.brush, this.tools.eraser, this.tools.undo,
          el("label", { class: "slide" }, "Size", this.size), el("label", { class: "slide" }, "Soft edge", feather),
          server.status?.subject !== false && button("Find the subject", { icon: "subject", kind: "small", id: "find-subject", onclick: (event) => this.findSubject(event.currentTarget) }),
          button("Invert", { kind: "small", onclick: () => this.invert() }),
          button("Clear", { kind: "small", onclick: () => this.fill(() => 0) }))),
      el("div", { class: "painter-body" }, el("div", { class: "frame" }, picture)));
    document.getElementById("stage").append(this.node);
    this.listen();
    this.erase(false);
  }

  async load(regions) {
    const styles = regions.map(({ use }) => use).filter((use) => typeof use === "object");
    const uses = draft.kind === "dream" ? ["paint"] : ["paint", "keep", ...styles];
    this.regions = uses.map((use, index) => ({ use, colour: COLOURS[index % COLOURS.length] }));
    for (const { use, mask } of regions) {
      const index = this.regions.findIndex((each) => each.use === use || (use.id && each.use.id === use.id));
      if (index >= 0) await this.addMask(await view(mask, LONG_SIDE, "png"), index + 1);
    }
    this.renderRegions();
    this.draw();
    this.canvas.focus();
  }

  renderRegions() {
    const text = (use) => (use === "paint" ? (draft.kind === "dream" ? "Dream here" : "Paint here") : use === "keep" ? "Keep the photo" : words(use.name.replace(/\.[A-Za-z0-9]+$/, "")));
    refill(this.list,
      this.regions.map(({ use, colour }, index) => el("button", {
        type: "button", class: "region", "data-focus": String(index), "aria-pressed": String(this.active === index + 1),
        onclick: () => { this.active = index + 1; this.erase(false); this.renderRegions(); },
      }, el("i", { vars: { background: `rgb(${colour})` } }), text(use))),
      draft.kind === "transfer" && this.regions.length < COLOURS.length && button("Style …", { icon: "add", kind: "small quiet", id: "add-region", onclick: () => this.chooseStyle() }));
  }

  /** Add a region with a style of its own. */
  chooseStyle() {
    const add = (picture) => {
      if (!this.regions.some(({ use }) => use.id === picture.id)) {
        this.regions.push({ use: picture, colour: COLOURS[this.regions.length % COLOURS.length] });
      }
      this.active = this.regions.findIndex(({ use }) => use.id === picture.id) + 1;
      this.erase(false);
      this.renderRegions();
    };
    const known = new Map([...draft.styles, ...server.samples.styles].map((each) => [each.id, each]));
    const tile = (picture) => {
      const img = el("img", { alt: "" });
      showIn(img, thumbnail(picture.id));
      return el("button", { type: "button", class: "tile", title: picture.name, "aria-label": picture.name, onclick: () => { dialog.close(); add(picture); } }, img);
    };
    const dialog = openDialog("Style of the region", el("div", { class: "tiles" },
      el("button", { type: "button", class: "tile add", "aria-label": "Choose a file", onclick: () => { dialog.close(); pickFiles("region", add); } }, icon("add")),
      [...known.values()].map(tile)));
  }

  // Pointer and keys

  listen() {
    const { canvas } = this;
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return [(event.clientX - box.left) * this.width / box.width, (event.clientY - box.top) * this.height / box.height];
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button > 0 && event.pointerType === "mouse") return;
      canvas.setPointerCapture(event.pointerId);
      this.remember();
      this.stroke(this.last = at(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      this.cursor = at(event);
      this.showBrush();
      if (!this.last) return;
      for (const each of event.getCoalescedEvents?.() ?? [event]) {
        const next = at(each);
        this.stroke(next, this.last);
        this.last = next;
      }
    });
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { this.last = null; });
    canvas.addEventListener("pointerleave", () => { this.brush.hidden = true; });
    this.node.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    const step = (event.shiftKey ? 2 : 0.5) * this.radius;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const onCanvas = event.target === this.canvas;
    const done = () => { event.preventDefault(); event.stopPropagation(); };
    if (event.key === "Escape") { done(); leavePainter(); }
    else if ((event.ctrlKey || event.metaKey) && event.key === "z") { done(); this.undo(); }
    else if (onCanvas && moves[event.key]) {
      done();
      const [x, y] = this.cursor, [dx, dy] = moves[event.key];
      this.cursor = [Math.min(this.width, Math.max(0, x + dx)), Math.min(this.height, Math.max(0, y + dy))];
      this.showBrush();
    } else if (onCanvas && event.key === " ") { done(); this.remember(); this.stroke(this.cursor); }
    else if (onCanvas && event.key.toLowerCase() === "e") { done(); this.erase(!this.erasing); }
    else if (onCanvas && "[]".includes(event.key)) {
      done();
      this.size.value = this.radius * (event.key === "]" ? 1.2 : 1 / 1.2);
      this.size.dispatchEvent(new Event("input"));
    } else if (onCanvas && !event.ctrlKey && event.key.length === 1) done();
  }

  showBrush() {
    const share = 100 / this.width;
    this.brush.hidden = false;
    Object.assign(this.brush.style, {
      left: `${this.cursor[0] * share}%`, top: `${100 * this.cursor[1] / this.height}%`,
      width: `${2 * this.radius * share}%`, aspectRatio: "1",
    });
  }

  erase(on) {
    this.erasing = on;
    this.tools.brush.setAttribute("aria-pressed", String(!on));
    this.tools.eraser.setAttribute("aria-pressed", String(on));
  }

  // Pixels

  remember() {
    this.undos.push(this.labels.slice());
    if (this.undos.length > UNDOS) this.undos.shift();
  }

  undo() {
    const labels = this.undos.pop();
    if (!labels) return;
    this.labels = labels;
    this.draw();
  }

  /** Label all pixels within the brush's radius of the line between two points. */
  stroke([x1, y1], [x0, y0] = [x1, y1]) {
    const r = this.radius, label = this.erasing ? 0 : this.active;
    const left = Math.max(0, Math.floor(Math.min(x0, x1) - r)), right = Math.min(this.width, Math.ceil(Math.max(x0, x1) + r) + 1);
    const top = Math.max(0, Math.floor(Math.min(y0, y1) - r)), bottom = Math.min(this.height, Math.ceil(Math.max(y0, y1) + r) + 1);
    const dx = x1 - x0, dy = y1 - y0, length = dx * dx + dy * dy;
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) {
        const px = x + 0.5 - x0, py = y + 0.5 - y0;
        const share = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
        const ex = px - share * dx, ey = py - share * dy;
        if (ex * ex + ey * ey <= r * r) this.labels[y * this.width + x] = label;
      }
    }
    this.draw(left, top, right, bottom);
  }

  fill(labelOf) {
    this.remember();
    this.labels = this.labels.map(labelOf);
    this.draw();
  }

  invert() {
    const { active } = this;
    this.fill((label) => (label === active ? 0 : label === 0 ? active : label));
  }

  draw(left = 0, top = 0, right = this.width, bottom = this.height) {
    const { data } = this.pixels;
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) {
        const place = y * this.width + x, label = this.labels[place];
        const colour = label ? this.regions[label - 1].colour : [0, 0, 0];
        data.set(colour, 4 * place);
        data[4 * place + 3] = label ? 150 : 0;
      }
    }
    this.context.putImageData(this.pixels, 0, 0, left, top, right - left, bottom - top);
  }

  /** Add the white of a picture to a region. */
  async addMask(url, label) {
    const img = new Image();
    img.src = url;
    await img.decode();
    const canvas = el("canvas", { width: this.width, height: this.height });
    const context = canvas.getContext("2d");
    context.drawImage(img, 0, 0, this.width, this.height);
    const { data } = context.getImageData(0, 0, this.width, this.height);
    for (let place = 0; place < this.labels.length; place++) if (data[4 * place] >= 128) this.labels[place] = label;
  }

  async findSubject(pressed) {
    pressed.disabled = true;
    try {
      const { image, confidence, notes } = await api.subject(this.photo.id);
      this.remember();
      await this.addMask(await view(image.id, LONG_SIDE, "png"), this.active);
      this.draw();
      for (const note of notes) say(note);
      if (confidence < 0.5 && !notes.length) say("The subject is uncertain: check the mask.");
    } catch (error) {
      say(error.words ?? String(error), { bad: true });
    }
    pressed.disabled = false;
  }

  maskOf(label) {
    const canvas = el("canvas", { width: this.width, height: this.height });
    const context = canvas.getContext("2d");
    const image = context.createImageData(this.width, this.height);
    const colours = new Uint32Array(image.data.buffer);
    for (let place = 0; place < colours.length; place++) colours[place] = this.labels[place] === label ? 0xffffffff : 0xff000000;
    context.putImageData(image, 0, 0);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }

  async use() {
    try {
      const used = new Set(this.labels);
      const regions = [];
      for (const [index, { use }] of this.regions.entries()) {
        if (!used.has(index + 1)) continue;
        const name = use === "paint" || use === "keep" ? use : use.name.replace(/\.[A-Za-z0-9]+$/, "");
        const { id } = await api.upload(await this.maskOf(index + 1), `mask-${name}.png`);
        regions.push({ use, mask: id });
      }
      this.close();
      change({ mask: regions.length ? { photo: this.photo.id, regions } : null });
    } catch (error) {
      say(error.words ?? String(error), { bad: true });
    }
  }

  close() {
    this.node.remove();
    current = null;
    document.getElementById("mask-button")?.focus();
  }
}

// One finger or the mouse moves, two fingers or the wheel zoom, a double click opens the photo.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const view = document.getElementById("view"), map = document.getElementById("map");
const mark = document.getElementById("mark"), label = document.getElementById("name");
const width = data.columns * data.cell, height = data.rows * data.cell;
const fingers = new Map();
let scale = 1, x = 0, y = 0, current = null;

function draw() {
  map.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
}
function fit() {
  scale = Math.min(view.clientWidth / width, view.clientHeight / height);
  x = (view.clientWidth - width * scale) / 2;
  y = (view.clientHeight - height * scale) / 2;
  draw();
}
function zoom(factor, atX, atY) {
  const next = Math.min(40, Math.max(0.02, scale * factor));
  x = atX - (atX - x) * next / scale;
  y = atY - (atY - y) * next / scale;
  scale = next;
  draw();
}
function show(event) {
  const column = Math.floor((event.clientX - x) / scale / data.cell);
  const row = Math.floor((event.clientY - y) / scale / data.cell);
  current = data.photos[`${row},${column}`] || null;
  label.textContent = current ? current[0] : "";
  mark.style.display = current ? "block" : "none";
  mark.style.left = `${column * data.cell}px`;
  mark.style.top = `${row * data.cell}px`;
  mark.style.width = mark.style.height = `${data.cell}px`;
  mark.style.borderWidth = `${2 / scale}px`;
}
function spread() {
  const [a, b] = [...fingers.values()];
  return [Math.hypot(a[0] - b[0], a[1] - b[1]), (a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
}
view.addEventListener("wheel", event => {
  event.preventDefault();
  zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.clientX, event.clientY);
  show(event);
}, { passive: false });
view.addEventListener("pointerdown", event => {
  fingers.set(event.pointerId, [event.clientX, event.clientY]);
  view.setPointerCapture(event.pointerId);
  show(event);
});
view.addEventListener("pointermove", event => {
  const before = fingers.get(event.pointerId);
  if (!before) { show(event); return; }
  const was = fingers.size > 1 ? spread() : null;
  fingers.set(event.pointerId, [event.clientX, event.clientY]);
  if (was) {
    const now = spread();
    x += now[1] - was[1];
    y += now[2] - was[2];
    zoom(now[0] / Math.max(1, was[0]), now[1], now[2]);
  } else {
    x += event.clientX - before[0];
    y += event.clientY - before[1];
    draw();
  }
});
for (const kind of ["pointerup", "pointercancel"]) {
  view.addEventListener(kind, event => fingers.delete(event.pointerId));
}
view.addEventListener("dblclick", () => { if (current) window.open(current[1]); });
view.addEventListener("keydown", event => {
  const middle = [view.clientWidth / 2, view.clientHeight / 2], step = 60;
  const moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step],
    ArrowDown: [0, -step] };
  if (event.key === "+" || event.key === "=") zoom(1.25, ...middle);
  else if (event.key === "-") zoom(0.8, ...middle);
  else if (event.key === "0") fit();
  else if (moves[event.key]) { x += moves[event.key][0]; y += moves[event.key][1]; draw(); }
  else return;
  event.preventDefault();
});
window.addEventListener("resize", fit);
fit();
view.focus();

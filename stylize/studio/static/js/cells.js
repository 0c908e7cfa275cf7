// The pictures of a contact sheet, to choose one whose settings are wanted.

import { button, el, openDialog } from "./dom.js";

/** Ask for a cell; resolves to its name, or to null. A picture that is no sheet has none. */
export function chooseCell({ name, cells }) {
  return new Promise((resolve) => {
    let chosen = null;
    const choose = (cell) => {
      chosen = cell.name;
      dialog.close();
    };
    const dialog = openDialog("Which picture of the sheet?", [
      el("p", { class: "soft" }, `${name} is a contact sheet. Its columns are letters, its rows numbers.`),
      el("div", { class: "row", id: "sheet-cells" }, cells.map((cell) => button(cell.label === cell.name ? cell.name : `${cell.name}: ${cell.label}`, { kind: "small", onclick: () => choose(cell) }))),
    ]);
    dialog.addEventListener("close", () => resolve(chosen));
    document.querySelector("#sheet-cells button")?.focus();
  });
}

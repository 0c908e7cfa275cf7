// Delete a result from the history, with its file.

import { api } from "./api.js";
import { button, el, openDialog, say } from "./dom.js";
import { server } from "./state.js";

/** Ask, then delete; resolves to whether it was done. */
export function deleteResult(item) {
  return new Promise((resolve) => {
    let done = false;
    const folder = server.status?.folder ?? "of results";
    const go = button("Delete", {
      kind: "primary", id: "confirm-delete",
      onclick: async () => {
        go.disabled = true;
        try {
          await api.remove(item.id);
          done = true;
          say(`Deleted ${item.name}.`);
        } catch (error) {
          say(error.words ?? String(error), { bad: true });
        }
        dialog.close();
      },
    });
    const keep = button("Keep it", { onclick: () => dialog.close() });
    const dialog = openDialog("Delete this result?",
      el("p", {}, `${item.name} will be removed from the folder ${folder}. This cannot be undone.`), [keep, go]);
    dialog.addEventListener("close", () => resolve(done));
    go.focus();
  });
}

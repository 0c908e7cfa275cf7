// "Try all …": a sheet of quick cells in the place of the picture.

import { api } from "./api.js";
import { say } from "./dom.js";
import { show } from "./stage.js";
import { missing, server, stillRequest } from "./state.js";

let latest = null;

/** Ask for a sheet that tries "presets", "strengths", "styles" or "channels". */
export async function trySheet(what) {
  if (missing()) {
    say(missing() === "photo" ? "Add a photo first." : "Choose a style image first.");
    return;
  }
  const before = server.jobs.get(latest);
  if (before && !["done", "failed", "cancelled"].includes(before.state)) await api.cancel(latest).catch(() => {});
  const { kind, ...request } = stillRequest({ size: "256" });
  if (what === "presets") delete request.preset;
  try {
    const job = await api.submit({ ...request, kind: "sheet", of: kind, try: what });
    latest = job.id;
    server.jobs.set(job.id, job);
    show({ type: "sheet", id: job.id });
  } catch (error) {
    say(error.words ?? String(error), { bad: true });
  }
}

// "Try all …": a sheet of quick cells in the place of the picture.

import { api } from "./api.js";
import { say } from "./dom.js";
import { show } from "./stage.js";
import { jobRequest, missing, server, session } from "./state.js";

/** Ask for a sheet that tries "presets", "strengths", "styles" or "channels". */
export async function trySheet(what) {
  if (missing()) {
    say(missing() === "photo" ? "Add a photo first." : "Choose a style image first.");
    return;
  }
  const { kind, ...request } = jobRequest({ size: "256" });
  if (what === "presets") delete request.preset;
  if (what === "channels") request.layer = "conv4_3";
  try {
    const job = await api.submit({ ...request, kind: "sheet", of: kind, try: what, live: true, session: `${session}-sheet` });
    server.jobs.set(job.id, job);
    show({ type: "sheet", id: job.id });
  } catch (error) {
    say(error.words ?? String(error), { bad: true });
  }
}

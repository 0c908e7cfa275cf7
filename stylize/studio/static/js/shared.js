// A worker that all tabs share: one stream of events for all, because a browser opens only six
// connections to a server. The stream names the sessions of the tabs, whose live runs go on.

import { follow } from "./stream.js";

const PAUSE_MS = 30; // in which other tabs come and go
const LOOK_MS = 10_000;
const MOST_MISSED = 3; // calls that a tab leaves without an answer, if it has crashed or sleeps

const tabs = new Map(); // port → { session, missed }
let token = null;
let stop = () => {};
let timer = null;

const tell = (...message) => {
  for (const port of tabs.keys()) port.postMessage(message);
};

function begin() {
  stop();
  stop = () => {};
  const sessions = [...new Set([...tabs.values()].map(({ session }) => session))];
  if (sessions.length) stop = follow(token, sessions, (name, data) => tell("event", name, data), (state) => tell("state", state));
}

function later() {
  clearTimeout(timer);
  timer = setTimeout(begin, PAUSE_MS);
}

function take(port, said) {
  const known = tabs.get(port);
  if (said.bye) tabs.delete(port);
  else tabs.set(port, { session: said.session, missed: 0 });
  // A new tab needs to hear how everything is; the stream says that at its beginning.
  if (known?.session !== said.session || (!said.bye && token !== said.token)) later();
  if (!said.bye) token = said.token;
}

function look() {
  for (const [port, tab] of tabs) {
    if (tab.missed++ < MOST_MISSED) continue;
    tabs.delete(port);
    later();
  }
  tell("call");
}

addEventListener("connect", ({ ports: [port] }) => {
  port.onmessage = ({ data }) => take(port, data);
});
setInterval(look, LOOK_MS);

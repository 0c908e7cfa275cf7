// The stream of events: read by the worker that all tabs share, or by the page where there is none.

const PINGS_MS = 40_000;

/**
 * Follow the events, and connect again when the server is back; returns a function that ends it.
 * onState gets "connected", "lost" or "locked" (wrong token).
 */
export function follow(token, sessions, onEvent, onState) {
  const query = new URLSearchParams(sessions.map((each) => ["session", each]));
  let connection = null;
  let stopped = false;

  async function connect() {
    connection = new AbortController();
    const mine = connection;
    let watchdog;
    const alive = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => mine.abort(), PINGS_MS);
    };
    try {
      alive();
      const headers = { Authorization: `Bearer ${token}`, Accept: "text/event-stream" };
      const answer = await fetch(`/api/v1/events?${query}`, { headers, cache: "no-store", signal: mine.signal });
      if (!answer.ok) return answer.status;
      if (!stopped) onState("connected");
      await read(answer.body, alive);
    } finally {
      clearTimeout(watchdog);
    }
    return 0;
  }

  async function read(body, alive) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "", name = "message", data = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done || stopped) return;
      alive();
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const raw of lines) {
        const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
        if (line.startsWith("event:")) name = line.slice(6).trim();
        else if (line.startsWith("data:")) data += line.slice(5).trimStart();
        else if (line === "" && data) {
          onEvent(name, JSON.parse(data));
          name = "message";
          data = "";
        }
      }
    }
  }

  async function run() {
    let wait = 250;
    while (!stopped) {
      const begun = Date.now();
      const status = await connect().catch(() => 0);
      if (stopped) return;
      if (status === 401) {
        onState("locked");
        return;
      }
      onState("lost");
      wait = Date.now() - begun > 5000 ? 250 : Math.min(wait * 1.6, 3000);
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  run();
  return () => {
    stopped = true;
    connection?.abort();
  };
}

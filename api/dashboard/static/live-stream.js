// The stream `GET /live`: opened, lost, opened again where it ended. Used by the worker that all tabs share, or by a page
// itself. `tell` gets { kind: "state", state, at? }, { kind: "begin", resumed }, { kind: "changes", list }, { kind: "log", … }.

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30_000;
const SILENCE_MS = 40_000; // there is a sign of life every 15 s: a line that says nothing for so long is dead

export class LiveStream {
  constructor(root, tell) {
    this.root = root;
    this.tell = tell;
    this.logs = "";
    this.position = "";
    this.wait = FIRST_WAIT_MS;
    this.asking = null;
    this.wanted = false;
    this.now = { kind: "state", state: "connecting" };
  }

  // `logs`: "<job>:<attempt>" of each log that is open.
  start(logs) {
    const wanted = [...new Set(logs)].sort().slice(0, 16).join(",");
    if (this.wanted && this.asking && wanted === this.logs) return;
    this.logs = wanted;
    this.wanted = true;
    this.open();
  }

  stop() {
    this.wanted = false;
    this.asking?.abort();
    this.asking = null;
    clearTimeout(this.again);
  }

  say(state, at) {
    this.now = { kind: "state", state, at };
    this.tell(this.now);
  }

  async open() {
    this.asking?.abort();
    clearTimeout(this.again);
    const asking = this.asking = new AbortController();
    let later = 0;
    try {
      const query = new URLSearchParams(this.logs ? { log: this.logs } : {});
      if (this.position) query.set("after", this.position);
      const answer = await fetch(`${this.root}/live?${query}`, {
        headers: { Accept: "text/event-stream" }, credentials: "same-origin", cache: "no-store", signal: asking.signal,
      });
      if (answer.status === 401 || answer.status === 403) {
        this.asking = null;
        this.wanted = false;
        this.say("signed out");
        return;
      }
      if (answer.status === 422) this.position = ""; // of a server that counts in another way
      if (answer.ok) await this.read(answer.body.getReader(), asking);
      else later = 1000 * Number(answer.headers.get("Retry-After") || 0);
    } catch { /* lost */ }
    if (this.asking !== asking) return; // another one took its place, or nobody wants it
    this.asking = null;
    const pause = Math.max(later, this.wait * (0.5 + Math.random() / 2));
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT_MS);
    this.say("reconnecting", Date.now() + pause);
    this.again = setTimeout(() => this.open(), pause);
  }

  async read(reader, asking) {
    const decoder = new TextDecoder();
    let text = "", silence = 0;
    const alive = () => { clearTimeout(silence); silence = setTimeout(() => asking.abort(), SILENCE_MS); };
    try {
      for (;;) {
        alive();
        const { value, done } = await reader.read();
        if (done || this.asking !== asking) return;
        text += decoder.decode(value, { stream: true });
        const parts = text.split("\n\n");
        text = parts.pop();
        for (const each of parts) this.take(each);
      }
    } finally { clearTimeout(silence); }
  }

  take(message) {
    const fields = new Map(message.split("\n").filter((line) => !line.startsWith(":"))
      .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
    if (fields.has("data")) {
      const said = JSON.parse(fields.get("data")), name = fields.get("event");
      if (name === "begin") {
        this.wait = FIRST_WAIT_MS;
        this.say("live");
        this.tell({ kind: "begin", resumed: said.resumed });
      } else if (name === "log") this.tell({ kind: "log", ...said });
      else this.tell({ kind: "changes", list: said });
    }
    if (fields.has("id")) this.position = fields.get("id"); // once it is told
  }
}

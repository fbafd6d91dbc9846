// What is on its way to the server: sent one after the other, again and again until it is kept.

const AGAIN = [500, 1000, 2000, 4000, 8000];
const PATIENCE = 15000;

/** The server has understood and said no; asking again would change nothing. */
export class Refused extends Error {}

export class Outbox {
  #waiting = [];
  #busy = false;

  /** `changed` is called whenever something is added, kept or refused, or meets trouble. */
  constructor(changed) {
    this.changed = changed;
    /** Why nothing is kept at the moment: "login", "connection" or "". */
    this.trouble = "";
  }

  get size() {
    return this.#waiting.length;
  }

  /** How many answers, and answers taken back, the server has not kept yet. */
  get unkept() {
    return this.#waiting.filter(({ address }) => !address.endsWith("/next")).length;
  }

  /** Return what the server says once it has kept `body`; throw `Refused` if it will not. */
  send(address, body) {
    return new Promise((kept, refused) => {
      this.#waiting.push({ address, body, kept, refused });
      this.changed();
      this.#work();
    });
  }

  async #work() {
    if (this.#busy) return;
    this.#busy = true;
    for (let tries = 0; this.#waiting.length; ) {
      const { address, body, kept, refused } = this.#waiting[0];
      let answer;
      try {
        answer = await post(address, body);
        this.trouble = "";
      } catch (error) {
        if (!(error instanceof Refused)) {
          this.trouble = error.message === "login" ? "login" : "connection";
          this.changed();
          await new Promise((wake) => setTimeout(wake, AGAIN[Math.min(tries++, AGAIN.length - 1)]));
          continue;
        }
        answer = error;
        this.trouble = "";
      }
      tries = 0;
      this.#waiting.shift();
      (answer instanceof Refused ? refused : kept)(answer);
      this.changed();
    }
    this.#busy = false;
  }
}

async function post(address, body) {
  const answer = await fetch(address, {
    method: "POST",
    headers: { "Content-Type": "application/json", "HX-Request": "true" },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(PATIENCE),
  });
  if (answer.ok) return answer.json();
  if (answer.status === 401) throw new Error("login");
  if (answer.status >= 500 || answer.status === 429) throw new Error("connection");
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  throw new Refused(page.body.textContent.trim());
}

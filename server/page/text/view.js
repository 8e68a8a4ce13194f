/* The transcript on the page: words appear, doubtful ones are marked, details come up on demand.

   1. Each stream is a section with a heading; its words are spans in paragraphs, one for each
      utterance. Words that are complete are never touched again, so long streams stay cheap.
   2. Details of a word (times, confidence) show under the pointer, on a tap, and at the word that the
      arrow keys have reached. */

const DOUBT = 0.5; // of the least certain token: below it a word is marked
const FOLLOW_PIXELS = 80; // from the end: who has scrolled further up is reading there

/** Draws transcripts into an element, and details of a word into another. */
export class TranscriptView {
  #element;
  #details;
  #section = null;
  #spans = [];
  #settled = 0;
  #words = new WeakMap(); // by span
  #current = null;

  constructor(element, details) {
    this.#element = element;
    this.#details = details;
    element.addEventListener("pointerover", ({ target }) => this.#point(target));
    element.addEventListener("pointerleave", () => this.#point(null));
    element.addEventListener("click", ({ target }) => this.#point(target));
    element.addEventListener("keydown", (event) => this.#walk(event));
    element.addEventListener("blur", () => this.#point(null));
    element.addEventListener("scroll", () => this.#point(null));
  }

  /** Begin the section of a stream. */
  begin(heading) {
    this.#section = document.createElement("section");
    const title = document.createElement("h2");
    title.textContent = heading;
    this.#section.append(title, document.createElement("p"));
    this.#element.append(this.#section);
    this.#spans = [];
    this.#settled = 0;
    this.#follow(true);
  }

  /** Show what the stream says now. */
  show(transcript) {
    const { words } = transcript;
    const follows = this.#isAtEnd();
    for (let i = this.#settled; i < words.length; i++) this.#write(i, words[i]);
    for (const span of this.#spans.splice(words.length)) {
      span.previousSibling?.remove();
      span.remove();
    }
    this.#settled = transcript.done;
    this.#follow(follows);
  }

  /** End the section; one without words goes. */
  end() {
    if (this.#section && !this.#spans.length) this.#section.remove();
    this.#section = null;
  }

  /** Remove everything but the section of a stream that goes on. */
  clear() {
    this.#point(null);
    for (const section of [...this.#element.children]) {
      if (section !== this.#section) section.remove();
    }
  }

  /** All text, a line for each utterance. */
  get text() {
    return [...this.#element.querySelectorAll("p")].map((p) => p.textContent.trim()).join("\n").trim();
  }

  #write(i, word) {
    const span = this.#spans[i] ?? this.#append(i, word);
    if (span.textContent !== word.text) span.textContent = word.text;
    span.className = word.state;
    span.classList.toggle("doubtful", word.state !== "provisional" && word.confidence < DOUBT);
    span.previousSibling.data = word.joins ? "" : " ";
    this.#words.set(span, word);
    if (span === this.#current) this.#describe(span);
  }

  #append(i, { breaks }) {
    if (breaks) this.#section.append(document.createElement("p"));
    const span = document.createElement("span");
    this.#section.lastChild.append(document.createTextNode(""), span);
    this.#spans[i] = span;
    return span;
  }

  #isAtEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#element;
    return scrollHeight - scrollTop - clientHeight < FOLLOW_PIXELS;
  }

  #follow(wanted) {
    if (wanted) this.#element.scrollTop = this.#element.scrollHeight;
  }

  #walk(event) {
    const spans = [...this.#element.querySelectorAll("span")];
    const at = spans.indexOf(this.#current);
    const next = { ArrowRight: at + 1, ArrowLeft: at < 0 ? spans.length - 1 : at - 1 }[event.key];
    if (event.key === "Escape") this.#point(null);
    if (next === undefined || !spans[next]) return;
    event.preventDefault();
    spans[next].scrollIntoView({ block: "nearest" });
    this.#point(spans[next]);
  }

  #point(target) {
    const span = this.#words.has(target) ? target : null;
    this.#current?.classList.remove("current");
    this.#current = span;
    this.#details.hidden = !span;
    if (span) this.#describe(span);
  }

  #describe(span) {
    const { start, end, confidence, state } = this.#words.get(span);
    span.classList.add("current");
    const sure = state === "provisional" ? "may change" : `${Math.round(100 * confidence)} % sure`;
    this.#details.textContent = `${start.toFixed(2)} – ${end.toFixed(2)} s · ${sure}`;
    const [word, box] = [span.getBoundingClientRect(), this.#details.getBoundingClientRect()];
    const middle = word.left + (word.width - box.width) / 2;
    const left = Math.max(8, Math.min(innerWidth - box.width - 8, middle));
    this.#details.style.left = `${left}px`;
    this.#details.style.top = `${word.top - box.height - 6}px`;
  }
}

/* The transcript on the page: words appear, doubtful ones are marked, details come up on demand.

   1. Each stream is a section with a heading and what it can be downloaded as; its words are spans in
      paragraphs, one for each utterance. Words that are complete are never touched again, so long
      streams stay cheap.
   2. A stream may be cleared while it goes on: its final words up to then are no longer shown,
      copied or downloaded. Times go on.
   3. Details of a word (times, confidence) show under the pointer, on a tap, and at the word that the
      arrow keys have reached; the keys have them announced as well. */

import { FORMATS } from "./captions.js";

const DOUBT = 0.5; // of the least certain token: below it a word is marked
const FOLLOW_PIXELS = 80; // from the end: who has scrolled further up is reading there

/** Draws transcripts into an element and details of a word into another; `say` announces a text. */
export class TranscriptView {
  #element;
  #details;
  #say;
  #section = null;
  #transcript = null; // of the section
  #shown = { from: 0 }; // the first word of it that was not cleared
  #spans = []; // of the words from there on
  #settled = 0; // words before this one do not change any more
  #words = new WeakMap(); // by span
  #current = null;

  constructor(element, details, say) {
    this.#element = element;
    this.#details = details;
    this.#say = say;
    element.addEventListener("pointerover", ({ target }) => this.#point(target));
    element.addEventListener("pointerleave", () => this.#point(null));
    element.addEventListener("click", ({ target }) => this.#point(target));
    element.addEventListener("keydown", (event) => this.#walk(event));
    element.addEventListener("blur", () => this.#point(null));
    element.addEventListener("scroll", () => this.#point(null));
    addEventListener("resize", () => this.#point(this.#current));
  }

  /** Begin the section of a stream, whose text is in a language; `name` is that of its downloads. */
  begin(transcript, { heading, name, language }) {
    const shown = { from: 0 };
    this.#transcript = transcript;
    this.#shown = shown;
    this.#spans = [];
    this.#settled = 0;
    this.#section = document.createElement("section");
    this.#section.lang = language;
    const title = document.createElement("h2");
    title.textContent = heading;
    title.lang = "en";
    const downloads = document.createElement("div");
    downloads.lang = "en";
    downloads.className = "downloads";
    downloads.role = "group";
    downloads.ariaLabel = `Download ${heading}`;
    for (const format of FORMATS) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = format.name;
      button.onclick = () => save(`${name}.${format.extension}`, format.type, format.write(transcript.utterances(shown.from)));
      downloads.append(button);
    }
    this.#section.append(title, downloads, document.createElement("p"));
    this.#element.append(this.#section);
    this.#follow(true);
  }

  /** Show what the stream says now. */
  show() {
    const { words, done } = this.#transcript;
    const { from } = this.#shown;
    const follows = this.#isAtEnd();
    for (let i = Math.max(from, this.#settled); i < words.length; i++) this.#write(i - from, words[i]);
    this.#remove(Math.max(0, words.length - from));
    this.#settled = done;
    this.#follow(follows);
  }

  /** End the section; one without words goes. */
  end() {
    if (this.#section && !this.#spans.length) this.#section.remove();
    this.#section = null;
  }

  /** Remove everything said so far. */
  clear() {
    this.#point(null);
    for (const section of [...this.#element.children]) {
      if (section !== this.#section) section.remove();
    }
    if (!this.#section) return;
    this.#shown.from = this.#transcript.final;
    this.#remove(0);
    for (const paragraph of [...this.#section.querySelectorAll("p")].slice(1)) paragraph.remove();
  }

  /** Whether there is no word. */
  get empty() {
    return !this.#element.querySelector(".word");
  }

  /** All text, a line for each utterance. */
  get text() {
    const lines = [...this.#element.querySelectorAll("p")].map((p) => p.textContent.trim());
    return lines.filter(Boolean).join("\n");
  }

  #write(k, word) {
    const span = this.#spans[k] ?? this.#append(k, word);
    if (span.textContent !== word.text) span.textContent = word.text;
    span.className = `word ${word.state}`;
    span.classList.toggle("doubtful", word.state !== "provisional" && word.confidence < DOUBT);
    span.previousSibling.data = word.joins ? "" : " ";
    this.#words.set(span, word);
    if (span === this.#current) this.#describe(span);
  }

  #append(k, { breaks }) {
    if (breaks && k) this.#section.append(document.createElement("p"));
    const span = document.createElement("span");
    this.#section.lastChild.append(document.createTextNode(""), span);
    this.#spans[k] = span;
    return span;
  }

  /** Remove the words from the k-th on. */
  #remove(k) {
    for (const span of this.#spans.splice(k)) {
      span.previousSibling.remove();
      span.remove();
    }
  }

  #isAtEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#element;
    return scrollHeight - scrollTop - clientHeight < FOLLOW_PIXELS;
  }

  #follow(wanted) {
    if (wanted) this.#element.scrollTop = this.#element.scrollHeight;
  }

  #walk(event) {
    const spans = [...this.#element.querySelectorAll(".word")];
    const at = spans.indexOf(this.#current);
    const next = { ArrowRight: at + 1, ArrowLeft: at < 0 ? spans.length - 1 : at - 1 }[event.key];
    if (event.key === "Escape") this.#point(null);
    if (next === undefined || !spans[next]) return;
    event.preventDefault();
    spans[next].scrollIntoView({ block: "nearest" });
    this.#point(spans[next]);
    this.#say(`${spans[next].textContent}: ${this.#details.textContent}`);
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

/** Let the browser save a text as a file. */
function save(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000); // some browsers read it late
}

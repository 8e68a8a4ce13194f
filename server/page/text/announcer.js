/* What a screen reader says by itself: each utterance once, when it is complete.

   Partial text would interrupt itself several times a second, so the transcript is no live region. */

const KEPT = 20; // older ones have been read

/** Writes into an element of role log. */
export class Announcer {
  #element;
  #said = 0;

  constructor(element) {
    this.#element = element;
  }

  /** Begin a stream. */
  begin() {
    this.#said = 0;
  }

  /** Say the utterances of the stream that were not said; all of them are complete. */
  follow(utterances) {
    for (const words of utterances.slice(this.#said)) this.say(words.map(({ text }) => text).join(" "));
    this.#said = utterances.length;
  }

  /** Say a text. */
  say(text) {
    const line = document.createElement("p");
    line.textContent = text;
    this.#element.append(line);
    while (this.#element.children.length > KEPT) this.#element.firstChild.remove();
  }
}

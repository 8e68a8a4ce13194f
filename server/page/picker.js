/* Which model listens: a choice of language and one of model, each shown only where there is one. */

const NAMES = new Intl.DisplayNames(["en"], { type: "language", fallback: "code" });

/** Two select elements, each in its label; `changed` is called with the model that is chosen, and whether there are
    others of its language. */
export class Picker {
  #models = [];
  #language;
  #model;
  #changed;

  constructor(language, model, changed) {
    this.#language = language;
    this.#model = model;
    this.#changed = changed;
    language.onchange = () => this.#fill();
    model.onchange = () => this.#tell();
  }

  /** Offer models as GET /model describes them. */
  show(models) {
    this.#models = models;
    offer(this.#language, [...new Set(models.map(({ language }) => language))], nameOf);
    this.#fill();
  }

  /** The description of the model that is chosen; null before there is one. */
  get chosen() {
    return this.#models.find(({ name }) => name === this.#model.value) ?? null;
  }

  set disabled(disabled) {
    this.#language.disabled = this.#model.disabled = disabled;
  }

  #fill() {
    const spoken = this.#models.filter(({ language }) => language === this.#language.value);
    offer(this.#model, spoken.map(({ name }) => name), (name) => name);
    this.#tell();
  }

  #tell() {
    this.#changed(this.chosen, this.#model.length > 1);
  }
}

function offer(select, values, textOf) {
  select.replaceChildren(...values.map((value) => new Option(textOf(value), value)));
  select.closest("label").hidden = values.length < 2;
}

function nameOf(language) {
  try {
    return NAMES.of(language);
  } catch {
    return language; // not a tag
  }
}

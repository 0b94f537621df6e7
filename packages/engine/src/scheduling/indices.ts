/** Gives texts small whole numbers, as flat arrays want them; a number that was given back goes to the next newcomer. */
export class Indices {
  readonly #byText = new Map<string, number>()
  readonly #spare: number[] = []
  #next = 0

  of(text: string): number {
    const known = this.#byText.get(text)
    if (known !== undefined) return known
    const index = this.#spare.pop() ?? this.#next++
    this.#byText.set(text, index)
    return index
  }

  find(text: string): number | undefined {
    return this.#byText.get(text)
  }

  giveBack(text: string): number | undefined {
    const index = this.#byText.get(text)
    if (index === undefined) return undefined
    this.#byText.delete(text)
    this.#spare.push(index)
    return index
  }
}

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** What the kernel tells in /proc and /sys, below a root that a test may choose. What is not there is empty. */
export class SystemFiles {
  readonly #root: string

  constructor(root = '/') {
    this.#root = root
  }

  text(path: string): Promise<string> {
    return readFile(join(this.#root, path), 'utf8').then(
      (text) => text.trim(),
      () => ''
    )
  }

  /** null where the file is not there or holds no number. */
  async number(path: string): Promise<number | null> {
    const text = await this.text(path)
    const value = Number(text)
    return text === '' || Number.isNaN(value) ? null : value
  }

  async list(path: string): Promise<string[]> {
    return readdir(join(this.#root, path)).then(
      (names) => names.toSorted(),
      () => []
    )
  }
}

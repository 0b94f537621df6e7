import { mkdir, readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { ConversionError } from './conversion-error.ts'

/** A folder that is left as it was found when the work in it fails. */
export class WorkFolder {
  readonly path: string
  /** What the processes use as their temporary folder. */
  readonly temporary: string
  readonly #existed: boolean

  private constructor(folder: string, existed: boolean) {
    this.path = folder
    this.temporary = path.join(folder, 'tmp')
    this.#existed = existed
  }

  /** @throws ConversionError `work-dir-in-use` unless the folder is absent or empty. */
  static async open(folder: string): Promise<WorkFolder> {
    const created = await mkdir(folder, { recursive: true })
    if ((await readdir(folder)).length > 0) {
      throw new ConversionError('work-dir-in-use', `The work directory ${folder} is not empty.`)
    }
    const work = new WorkFolder(path.resolve(folder), created === undefined)
    await mkdir(work.temporary)
    return work
  }

  file(name: string): string {
    return path.join(this.path, name)
  }

  /** Removes what only the work itself needed. */
  async keep(names: readonly string[]): Promise<void> {
    await this.#remove((await readdir(this.path)).filter((name) => !names.includes(name)))
  }

  async discard(): Promise<void> {
    if (this.#existed) await this.keep([])
    else await rm(this.path, { recursive: true, force: true })
  }

  async #remove(names: readonly string[]): Promise<void> {
    for (const name of names) await rm(this.file(name), { recursive: true, force: true })
  }
}

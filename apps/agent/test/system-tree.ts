import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

/** A made-up /proc and /sys in a directory: paths without the leading slash, and what they hold. */
export class SystemTree {
  readonly root: string

  static async make(files: Record<string, string | number>): Promise<SystemTree> {
    const tree = new SystemTree(await mkdtemp(join(tmpdir(), 'skerry-system-')))
    await tree.write(files)
    return tree
  }

  private constructor(root: string) {
    this.root = root
  }

  async write(files: Record<string, string | number>): Promise<void> {
    for (const [path, content] of Object.entries(files)) {
      await mkdir(dirname(join(this.root, path)), { recursive: true })
      await writeFile(join(this.root, path), `${content}\n`)
    }
  }

  async remove(): Promise<void> {
    await rm(this.root, { recursive: true, force: true })
  }
}

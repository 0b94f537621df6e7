import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** The core that this process and all that it starts are held on, and the way back; null where nothing can hold them. */
export type Pinning = { core: number; release: () => Promise<void> }

/** Pins every thread of this process to the last core that it may use, by `taskset`. Children inherit it. */
export async function pinToOneCore(): Promise<Pinning | null> {
  const taskset = async (...args: string[]): Promise<string> =>
    (await promisify(execFile)('taskset', [...args, String(process.pid)])).stdout
  try {
    const before = /list: (.+)$/m.exec(await taskset('-cp'))?.[1]
    const core = Number(before?.split(/[,-]/).at(-1))
    if (before === undefined || !Number.isInteger(core)) return null
    await taskset('-acp', String(core))
    return { core, release: async () => void (await taskset('-acp', before)) }
  } catch {
    // No taskset, or no right to use it: the figures are then noisier, and the result says so.
    return null
  }
}

import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { ZooRecord } from './zoo-record.ts'

const pathOf = (folder: string, model: string): string => path.join(folder, `${model}.json`)

/** What an earlier run found out; undefined when there is none. */
export async function readRecord(folder: string, model: string): Promise<ZooRecord | undefined> {
  try {
    return JSON.parse(await readFile(pathOf(folder, model), 'utf8')) as ZooRecord
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Whole or not at all, so that a run that was cut goes on with the next model. */
export async function keepRecord(folder: string, record: ZooRecord): Promise<void> {
  await mkdir(folder, { recursive: true })
  const target = pathOf(folder, record.model)
  await writeFile(`${target}.partial`, `${JSON.stringify(record, null, 2)}\n`)
  await rename(`${target}.partial`, target)
}

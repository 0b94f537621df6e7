import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { endLeftBehind, type Service, startPostgres, startValkey } from '@skerry/embedded'
import { testUrl, toolPaths } from './config.ts'

const DIRECTORY_PREFIX = 'skerry-test-'

/** A share of the run's Valkey: every key of the caller starts with the prefix (BullMQ's `prefix`). */
export type FreshRedis = { url: string; prefix: string }

export function freshRedis(): FreshRedis {
  return { url: testUrl('redisUrl'), prefix: `test-${randomUUID()}` }
}

/** A Valkey of the caller's own, for tests that flush, stop or kill it. `stop` also removes its data. */
export async function startTestValkey(): Promise<Service> {
  return inTemporaryDirectory((dir) => startValkey({ dir, valkeyServer: toolPaths().valkeyServer }))
}

/** A Postgres of the caller's own, without any table, for tests that stop or kill it. `stop` also removes its data. */
export async function startTestPostgres(): Promise<Service> {
  return inTemporaryDirectory((dir) => startPostgres({ dir, throwaway: true }))
}

/** Ends and removes what a test run that was killed left in the temporary directory. */
export async function removeLeftovers(): Promise<void> {
  for (const name of fs.readdirSync(os.tmpdir())) {
    const dir = path.join(os.tmpdir(), name)
    if (name.startsWith(DIRECTORY_PREFIX) && (await endLeftBehind(dir)))
      fs.rmSync(dir, { recursive: true, force: true })
  }
}

async function inTemporaryDirectory(start: (dir: string) => Promise<Service>): Promise<Service> {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), DIRECTORY_PREFIX))
  const remove = (): void => fs.rmSync(dir, { recursive: true, force: true })
  try {
    const service = await start(dir)
    const stop = async (): Promise<void> => {
      await service.stop()
      remove()
    }
    return { ...service, stop }
  } catch (error) {
    remove()
    throw error
  }
}

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { platform } from 'node:os'
import { AgentError } from './agent-error.ts'

export type Unlock = () => Promise<void>

/** Keeps a second agent off a data directory: two with one identity would throw each other out of their sessions for ever. */
export async function lockDataDir(dataDir: string): Promise<Unlock> {
  const unlock = await tryLock('agent', dataDir)
  if (unlock !== null) return unlock
  throw new AgentError(
    'data-dir-in-use',
    `Another agent runs with the data directory ${dataDir}: stop it, or give this one another directory.`
  )
}

/**
 * null while another process holds it. An abstract socket on Linux: the system frees it however the process ends, so no
 * stale lock needs a decision.
 */
export async function tryLock(what: 'agent' | 'identity', dataDir: string): Promise<Unlock | null> {
  if (platform() !== 'linux') return async () => undefined
  const name = createHash('sha256').update(dataDir).digest('hex').slice(0, 32)
  const server = createServer((socket) => socket.destroy())
  server.listen(`\0skerry-${what}-${name}`)
  try {
    await once(server, 'listening')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw cause
    return null
  }
  server.unref()
  return () => new Promise((resolve) => server.close(() => resolve()))
}

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { platform } from 'node:os'
import { AgentError } from './agent-error.ts'

/**
 * Keeps a second agent off a data directory: two with one identity would throw each other out of their sessions for
 * ever. An abstract socket on Linux: the system frees it however the process ends, so no stale lock needs a decision.
 */
export async function lockDataDir(dataDir: string): Promise<() => Promise<void>> {
  if (platform() !== 'linux') return async () => undefined
  const name = createHash('sha256').update(dataDir).digest('hex').slice(0, 32)
  const server = createServer((socket) => socket.destroy())
  server.listen(`\0skerry-agent-${name}`)
  try {
    await once(server, 'listening')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw cause
    throw new AgentError(
      'data-dir-in-use',
      `Another agent runs with the data directory ${dataDir}: stop it, or give this one another directory.`
    )
  }
  server.unref()
  return () => new Promise((resolve) => server.close(() => resolve()))
}

import { POSTGRES } from './postgres.ts'
import type { Log } from './service.ts'
import { endOrphan, isLeftBehind } from './service-record.ts'
import { VALKEY } from './valkey.ts'

/**
 * Ends the services in a directory whose owner was killed before it could stop them, and answers whether there were
 * any. Services of a live owner stay.
 */
export async function endLeftBehind(dir: string, log: Log = () => undefined): Promise<boolean> {
  const kinds = [POSTGRES, VALKEY].filter((kind) => isLeftBehind(dir, kind))
  await Promise.all(kinds.map((kind) => endOrphan(dir, kind, log)))
  return kinds.length > 0
}

import type { BlobStore } from '@skerry/blobs'
import type { JobQueue, ReplicaBus } from '@skerry/queue'
import type { Registry } from '@skerry/registry'
import type { Metrics } from '@skerry/telemetry'
import type { ClusterMessage } from './cluster/messages.ts'

export type Logger = {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** What every part of the engine works on; parts take these, and each other only where one calls the other. */
export type EngineResources = {
  registry: Registry
  queue: JobQueue
  /** Its id is this replica's. */
  bus: ReplicaBus<ClusterMessage>
  blobs: BlobStore
  metrics: Metrics
  log: Logger
  /** Milliseconds since the epoch, for durations in memory. What is decided in Postgres goes by Postgres's clock. */
  nowMs: () => number
}

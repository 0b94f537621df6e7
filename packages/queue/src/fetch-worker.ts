import { Worker, type WorkerOptions } from 'bullmq'

/**
 * A Worker that is only ever asked for its next job without waiting. BullMQ opens a second, blocking connection for each
 * Worker; a pool per deployment would mean a connection per deployment for nothing, so this one opens none.
 */
export class FetchWorker extends Worker {
  constructor(name: string, options: Pick<WorkerOptions, 'connection' | 'prefix'>) {
    super(name, null, {
      ...options,
      autorun: false,
      removeOnComplete: { count: 0 },
      removeOnFail: { count: 0 },
      skipStalledCheck: true,
      skipLockRenewal: true
    })
  }
  protected override createBackend(): void {
    this.backend = this.backendFactory(this.name, this.opts, { withBlockingConnection: false })
  }
}

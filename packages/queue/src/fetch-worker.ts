import { type Job, type JobJson, Worker, type WorkerOptions } from 'bullmq'

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
  /** Done with; with `takesNext` the next job is taken in the same step, undefined when none waits. */
  async acknowledge(job: Job, token: string, takesNext: boolean): Promise<Job | undefined> {
    const next = (await job.moveToCompleted(null, token, takesNext)) as [JobJson?, string?] | undefined
    return next?.[0] ? this.nextJobFromJobData(next[0], next[1], token) : undefined
  }

  protected override createBackend(): void {
    this.backend = this.backendFactory(this.name, this.opts, { withBlockingConnection: false })
  }
}

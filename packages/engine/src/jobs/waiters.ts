/** Wakes callers that wait for a job to end, or for diagnostics to come. */
export class Waiters {
  readonly #listeners = new Map<string, Set<() => void>>()

  ended(id: string): void {
    for (const listener of this.#listeners.get(id) ?? []) listener()
  }

  /** Resolves when the job ends, after `waitMs`, or when the signal aborts; the caller reads the row to see which. */
  wait(jobId: string, waitMs: number, signal?: AbortSignal): { done: Promise<void>; stop: () => void } {
    const { promise, resolve } = withResolvers()
    const listeners = this.#listeners.get(jobId) ?? new Set<() => void>()
    const stop = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', stop)
      listeners.delete(stop)
      if (listeners.size === 0) this.#listeners.delete(jobId)
      resolve()
    }
    const timer = setTimeout(stop, waitMs)
    listeners.add(stop)
    this.#listeners.set(jobId, listeners)
    signal?.addEventListener('abort', stop)
    return { done: promise, stop }
  }
}

/** Promise.withResolvers, which Node 20 lacks. */
function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve: (() => void) | undefined
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve: () => resolve?.() }
}

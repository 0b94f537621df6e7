import type { Attempt } from './types.ts'

/**
 * Adds to a variant's attempts. The converter tells of each way twice: before, as if its process had ended in it, and
 * after; the second replaces the first.
 */
export function recordAttempt(attempts: Attempt[], { way, outcome, milliseconds, error }: Attempt): void {
  const attempt = { way, outcome, milliseconds, ...(error === undefined ? {} : { error }) }
  if (attempts.at(-1)?.way === way) attempts.pop()
  attempts.push(attempt)
}

const DEADLOCK_DETECTED = '40P01'
const MOST_TRIES = 5

/**
 * Runs a statement again that Postgres undid because it and another one waited for each other's rows. Statements over many
 * rows lock them in whatever order their plans find them.
 */
export async function despiteDeadlocks<T>(statement: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++)
    try {
      return await statement()
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined
      if (code !== DEADLOCK_DETECTED || tries === MOST_TRIES) throw error
    }
}

import type { Registry } from '@skerry/registry'

type Result = { rows?: unknown[] }
type Query = (...args: unknown[]) => unknown

/** Counts what is asked of Postgres over a pool, and the rows that come back. Made before the pool is used. */
export class Statements {
  readonly #seen: { text: string; rows: number }[] = []

  constructor(pool: Registry['pool']) {
    pool.on('connect', (client) => {
      const query = client.query.bind(client) as Query
      const counted: Query = (...args) => {
        const [config] = args
        const entry = {
          text: typeof config === 'string' ? config : String((config as { text?: string }).text),
          rows: 0
        }
        this.#seen.push(entry)
        const note = (result: Result | undefined) => {
          entry.rows = result?.rows?.length ?? 0
        }
        const callback = args.at(-1)
        if (typeof callback === 'function')
          return query(...args.slice(0, -1), (error: unknown, result: Result) => {
            note(result)
            callback(error, result)
          })
        const answer = query(...args)
        if (answer instanceof Promise) answer.then(note, () => undefined)
        return answer
      }
      Object.assign(client, { query: counted })
    })
  }

  /** Those that match, from the beginning of a task to its end. */
  async during(which: RegExp, task: () => Promise<void>): Promise<{ statements: number; rows: number }> {
    const from = this.#seen.length
    await task()
    const matching = this.#seen.slice(from).filter(({ text }) => which.test(text))
    return { statements: matching.length, rows: matching.reduce((sum, { rows }) => sum + rows, 0) }
  }
}

import type { Question, QuestionAnswer } from './messages.ts'

const ANSWER_WITHIN_MS = 2_000

type Waiting = { resolve: (value: unknown) => void; reject: (error: Error) => void; timer: NodeJS.Timeout }

/** Questions to another replica over messages that may be lost. */
export class Questions {
  readonly #send: (to: string, message: Question | QuestionAnswer) => void
  readonly #waiting = new Map<number, Waiting>()
  #last = 0

  constructor(send: (to: string, message: Question | QuestionAnswer) => void) {
    this.#send = send
  }

  /** Rejects when no answer came in two seconds, or when the other replica could not answer. */
  ask(to: string, name: string, payload: unknown): Promise<unknown> {
    const id = ++this.#last
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id)
        reject(new Error('the replica that schedules did not answer'))
      }, ANSWER_WITHIN_MS)
      this.#waiting.set(id, { resolve, reject, timer })
      this.#send(to, { type: 'ask', id, name, payload })
    })
  }

  async answer(
    to: string,
    { id, name, payload }: Question,
    find: (name: string, payload: unknown) => Promise<unknown>
  ): Promise<void> {
    try {
      this.#send(to, { type: 'answer', id, value: await find(name, payload) })
    } catch (error) {
      this.#send(to, { type: 'answer', id, error: error instanceof Error ? error.message : String(error) })
    }
  }

  answered({ id, value, error }: QuestionAnswer): void {
    const waiting = this.#waiting.get(id)
    if (waiting === undefined) return
    this.#waiting.delete(id)
    clearTimeout(waiting.timer)
    if (error === undefined) waiting.resolve(value)
    else waiting.reject(new Error(error))
  }

  stop(): void {
    for (const { timer, reject } of this.#waiting.values()) {
      clearTimeout(timer)
      reject(new Error('this replica stops'))
    }
    this.#waiting.clear()
  }
}

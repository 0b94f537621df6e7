import { Readable } from 'node:stream'
import { type JobRequest, SkerryError } from '@skerry/contracts'
import type { Engine } from '@skerry/engine'
import { toProblem } from '../plugins/problems.ts'

const MAX_LINE_BYTES = 8 * 1024 ** 2
/** Lines that are being stored while later ones are read: enough to fill a batch, few enough to bound memory. */
const WINDOW = 512

type Validate = { (value: unknown): boolean; errors?: { instancePath: string; message?: string }[] | null }

async function* linesOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let rest = Buffer.alloc(0)
  for await (const part of body) {
    let start = 0
    const chunk =
      rest.length === 0 ? Buffer.from(part.buffer, part.byteOffset, part.byteLength) : Buffer.concat([rest, part])
    for (let end = chunk.indexOf(10, start); end >= 0; end = chunk.indexOf(10, start)) {
      yield chunk.toString('utf8', start, end)
      start = end + 1
    }
    rest = Buffer.from(chunk.subarray(start))
    if (rest.length > MAX_LINE_BYTES)
      throw new SkerryError('body-too-large', `A line is at most ${MAX_LINE_BYTES} bytes`)
  }
  if (rest.length > 0) yield rest.toString('utf8')
}

/**
 * One answer a line, in order: `{id?, status: 202, jobId}` or `{id?, status, problem}`. `id` is the caller's own; sent
 * again, it names the job that it named before.
 */
export function answerLines(
  body: AsyncIterable<Uint8Array>,
  validate: unknown,
  engine: Engine,
  identityId: string
): Readable {
  const check = validate as Validate

  async function answer(line: string): Promise<object> {
    let id: string | undefined
    try {
      const job = parse(line)
      if (typeof (job as { id?: unknown }).id === 'string') id = (job as { id: string }).id
      if (!check(job)) {
        const fields = (check.errors ?? []).map((e) => ({
          pointer: e.instancePath,
          detail: e.message ?? 'does not fit'
        }))
        throw new SkerryError('invalid-request', fields.map((f) => `${f.pointer} ${f.detail}`).join('; '), { fields })
      }
      const key = id === undefined ? null : `${identityId}:batch:${id}`
      const submitted = await engine.submission.inference(job as JobRequest, key)
      return { ...(id === undefined ? {} : { id }), status: 202, jobId: submitted.id }
    } catch (error) {
      const problem = toProblem(error)
      if (problem.status >= 500) engine.resources.log.error({ err: error }, 'a line of a batch failed')
      return { ...(id === undefined ? {} : { id }), status: problem.status, problem }
    }
  }

  async function* answers(): AsyncGenerator<string> {
    const pending: Promise<object>[] = []
    const next = async () => `${JSON.stringify(await pending.shift())}\n`
    try {
      for await (const line of linesOf(body)) {
        if (line.trim() === '') continue
        pending.push(answer(line))
        if (pending.length >= WINDOW) yield await next()
      }
    } catch (error) {
      pending.push(Promise.resolve({ status: toProblem(error).status, problem: toProblem(error) }))
    }
    while (pending.length > 0) yield await next()
  }
  return Readable.from(answers())
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch (cause) {
    throw new SkerryError('invalid-json', 'The line is not JSON', { cause })
  }
}

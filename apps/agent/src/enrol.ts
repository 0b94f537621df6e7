import { EnrolAnswer, type EnrolRequest, isA } from '@skerry/contracts'
import { AgentError, type AgentErrorCode } from './agent-error.ts'
import { type HttpExchange, readBody, readProblem } from './http-exchange.ts'

const ANSWER_BYTES = 65_536

/** Enrols this device with a join token. Throws AgentErrors whose messages say what to do. */
export async function enrol(
  http: HttpExchange,
  url: URL,
  request: EnrolRequest,
  signal?: AbortSignal
): Promise<EnrolAnswer> {
  const body = Buffer.from(JSON.stringify(request))
  const response = await http
    .call({
      method: 'POST',
      url,
      headers: { 'content-type': 'application/json', 'content-length': String(body.byteLength) },
      body,
      ...(signal === undefined ? {} : { signal })
    })
    .catch((error: unknown) => {
      if (!(error instanceof AgentError) || error.code !== 'transfer-failed') throw error
      throw new AgentError(
        'control-plane-unreachable',
        `The control plane at ${url.origin} does not answer (${error.message}): check the address and that it runs.`
      )
    })
  if ((response.statusCode ?? 0) >= 400) {
    const { status, code, words } = await readProblem(response)
    throw new AgentError(...refusal(status, code, words, request))
  }
  const answer: unknown = JSON.parse((await readBody(response, ANSWER_BYTES)).toString('utf8'))
  if (!isA(EnrolAnswer, answer)) {
    throw new AgentError('enrol-refused', `${url.origin} does not answer like a control plane: check the address.`)
  }
  return answer
}

function refusal(status: number, code: string, words: string, request: EnrolRequest): [AgentErrorCode, string] {
  if (code === 'token-invalid') {
    return [
      'enrol-refused',
      'The join token is unknown, used up or expired: make a new one (POST /api/v1/join-tokens).'
    ]
  }
  if (code === 'name-taken') {
    return ['enrol-refused', `The name '${request.name}' is in use: choose another with --name.`]
  }
  if (code === 'forbidden') {
    return ['enrol-refused', `The join token does not allow this: ${words}. Make a token that does, or ask for less.`]
  }
  if (status === 404) {
    return ['enrol-refused', 'There is no control plane at this address: give the address without a path.']
  }
  if (status >= 500 || status === 429) {
    return ['control-plane-unreachable', `The control plane cannot enrol a device now (${words}): try again soon.`]
  }
  return ['enrol-refused', `The control plane refused to enrol this device: ${words}.`]
}

import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'

export type LocalReply = {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
  json: () => Record<string, unknown>
}
export type LocalCall = { method?: string; headers?: Record<string, string>; body?: string | Uint8Array }

/** One request to an agent's local inference, whether it listens on a port or on a socket. */
export function call(address: string, path: string, { method, headers, body }: LocalCall = {}): Promise<LocalReply> {
  const where = address.startsWith('http:')
    ? { host: '127.0.0.1', port: new URL(address).port }
    : { socketPath: address }
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      { ...where, path, method: method ?? (body === undefined ? 'GET' : 'POST'), ...(headers ? { headers } : {}) },
      (response) => {
        const parts: Buffer[] = []
        response.on('data', (part: Buffer) => parts.push(part))
        response.on('error', reject)
        response.on('end', () => {
          const whole = Buffer.concat(parts)
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: whole,
            json: () => JSON.parse(whole.toString('utf8')) as Record<string, unknown>
          })
        })
      }
    )
    request.on('error', reject)
    request.end(body)
  })
}

/** The binary form: the header, then the tensors; `Inference-Header-Content-Length` says where one ends. */
export function binaryCall(header: object, ...tensors: Uint8Array[]): LocalCall {
  const head = Buffer.from(JSON.stringify(header))
  return {
    headers: { 'inference-header-content-length': String(head.byteLength) },
    body: Buffer.concat([head, ...tensors])
  }
}

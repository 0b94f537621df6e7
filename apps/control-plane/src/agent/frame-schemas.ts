import { AgentFrame, HelloFrame } from '@skerry/contracts'
import { Compile } from 'typebox/compile'

const agentFrame = Compile(AgentFrame)
const helloFrame = Compile(HelloFrame)

type Hello = Extract<AgentFrame, { type: 'hello' }>

const describe = (errors: { instancePath: string; message: string }[]): string =>
  errors
    .slice(0, 3)
    .map((error) => `${error.instancePath} ${error.message}`)
    .join('; ')

/** Throws a plain Error that says what is wrong with the frame. */
export function parseHello(header: unknown): Hello {
  if (!helloFrame.Check(header)) throw new Error(`a hello was expected: ${describe(helloFrame.Errors(header))}`)
  return header
}

export function parseAgentFrame(header: unknown): AgentFrame {
  if (!agentFrame.Check(header)) throw new Error(describe(agentFrame.Errors(header)))
  return header
}

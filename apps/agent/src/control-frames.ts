import { Assignment, type ControlFrame, DesiredArtifact, isA, JobRef, Sha256, Type } from '@skerry/contracts'

/** What the control plane may send, as far as an agent relies on it; more fields and more kinds may come. */
const challenge = Type.Object({ type: Type.Literal('challenge'), nonce: Type.String() })
const welcome = Type.Object({
  type: Type.Literal('welcome'),
  session: Type.Integer(),
  httpToken: Type.String(),
  heartbeatMs: Type.Integer({ minimum: 100 }),
  controlPlanePublicKey: Type.String(),
  understands: Type.Optional(Type.Array(Type.String()))
})
const desired = Type.Object({ type: Type.Literal('desired'), artifacts: Type.Array(Type.Unknown()) })
const assign = Type.Intersect([Type.Object({ type: Type.Literal('assign'), work: Type.Unknown() }), JobRef])
const cancel = Type.Intersect([Type.Object({ type: Type.Literal('cancel') }), JobRef])
const ack = Type.Intersect([
  Type.Object({ type: Type.Literal('ack'), status: Type.Enum(['accepted', 'stale', 'unknown']) }),
  JobRef
])
const latencyAck = Type.Object({ type: Type.Literal('latency-ack'), seq: Type.Integer() })
const benchmarkAck = Type.Object({ type: Type.Literal('benchmark-ack'), id: Type.String() })
const refused = Type.Object({ type: Type.Literal('refused'), code: Type.String(), detail: Type.String() })
const config = Type.Object({
  type: Type.Literal('config'),
  revision: Type.Integer({ minimum: 0 }),
  config: Type.Object({})
})
const diagnose = Type.Object({ type: Type.Literal('diagnose'), id: Type.String() })
const rotateKey = Type.Object({ type: Type.Literal('rotate-key') })
const schemas = {
  challenge,
  welcome,
  config,
  diagnose,
  'rotate-key': rotateKey,
  desired,
  assign,
  cancel,
  ack,
  'latency-ack': latencyAck,
  'benchmark-ack': benchmarkAck,
  refused
}

const identified = Type.Object({ deployment: Type.String(), artifact: Sha256 })

export type ReceivedFrame =
  | Exclude<ControlFrame, { type: 'desired' | 'assign' }>
  | { type: 'desired'; artifacts: DesiredArtifact[]; refused: { deployment: string; artifact: string }[] }
  /** `work` is null for a kind of work that this agent does not know. */
  | { type: 'assign'; jobId: string; epoch: number; work: Assignment | null }

/** null for a frame that this agent does not understand: a later control plane may send more than it knows. */
export function parseControlFrame(header: unknown): ReceivedFrame | null {
  const type = (header as { type?: unknown } | null)?.type
  if (typeof type !== 'string' || !Object.hasOwn(schemas, type)) return null
  if (!isA(schemas[type as keyof typeof schemas], header)) return null
  const frame = header as ControlFrame
  if (frame.type === 'assign') return { ...frame, work: isA(Assignment, frame.work) ? frame.work : null }
  if (frame.type !== 'desired') return frame
  const artifacts: DesiredArtifact[] = []
  const refused: { deployment: string; artifact: string }[] = []
  for (const artifact of frame.artifacts as unknown[]) {
    if (isA(DesiredArtifact, artifact)) artifacts.push(artifact)
    else if (isA(identified, artifact)) refused.push({ deployment: artifact.deployment, artifact: artifact.artifact })
  }
  return { type: 'desired', artifacts, refused }
}

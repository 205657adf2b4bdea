// What every script here needs: what it was given, connections with a client
// certificate, and the version of a package.
//
// A script reads one JSON document from its standard input and writes one to its
// standard output; messages go to standard error.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { Agent, fetch as send } from 'undici'

export const given = JSON.parse(readFileSync(0, 'utf8'))

/** Return a fetch that presents the certificate of an instance of the mesh. */
export function fetchAs(name) {
  const { certificate, key } = given.identities[name]
  const dispatcher = new Agent({
    connect: { cert: certificate, key, ca: given.bundle, minVersion: 'TLSv1.3' },
  })
  return (url, options) => send(url, { ...options, dispatcher })
}

/** Return the version of an installed package. */
export function version(name) {
  const here = createRequire(import.meta.url)
  const paths = here.resolve.paths(name).map((path) => `${path}/${name}/package.json`)
  for (const path of paths) {
    try {
      return JSON.parse(readFileSync(path, 'utf8')).version
    } catch {
      continue
    }
  }
  throw new Error(`${name} is not installed`)
}

/** Return what `work` gives, or how it failed. */
export async function outcome(work) {
  try {
    return await work()
  } catch (error) {
    const challenges = Array.isArray(error.cause) ? error.cause : []
    const challenge = challenges.find((one) => one.parameters?.error)
    return {
      failed: error.code ?? error.name,
      error: error.error ?? challenge?.parameters?.error ?? null,
      status: error.status ?? null,
      message: error.message,
    }
  }
}

/** Write the outcomes of a scenario, each run after the one before. */
export async function report(scenario) {
  const outcomes = {}
  for (const [name, work] of Object.entries(scenario)) {
    outcomes[name] = await outcome(work)
  }
  process.stdout.write(JSON.stringify(outcomes))
  process.exit(0) // connections are kept alive, and would keep the process
}

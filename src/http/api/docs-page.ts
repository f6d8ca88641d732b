// `/v1/docs`: the OpenAPI document as one page for people, without a script and without anything of another host.
// Loaded when somebody asks for it.
import { readFileSync } from 'node:fs'
import { html, type Html, htmlText, type HtmlValue } from '../pages/html.ts'
import { API_PATH } from './problems.ts'

export const docsStylesheet = readFileSync(new URL('./docs.css', import.meta.url), 'utf8')

interface Schema {
  readonly $ref?: string
  readonly type?: string | readonly string[]
  readonly format?: string
  readonly enum?: readonly unknown[]
  readonly description?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly default?: unknown
  readonly minimum?: number
  readonly maximum?: number
  readonly maxLength?: number
}

interface Operation {
  readonly summary: string
  readonly description: string
  readonly tags: readonly string[]
  readonly parameters?: readonly {
    readonly name: string
    readonly in: string
    readonly required?: boolean
    readonly description?: string
    readonly schema: Schema
  }[]
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> }
  readonly responses: Readonly<
    Record<
      string,
      { readonly description: string; readonly content?: Readonly<Record<string, { readonly schema: Schema }>> }
    >
  >
}

export interface Document {
  readonly info: { readonly title: string; readonly version: string; readonly description: string }
  readonly servers: readonly { readonly url: string }[]
  readonly tags: readonly { readonly name: string; readonly description: string }[]
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> }
}

const nameOf = (ref: string): string => ref.slice(ref.lastIndexOf('/') + 1)

const typeOf = (schema: Schema): Html => {
  if (schema.$ref !== undefined) return html`<a href="#schema-${nameOf(schema.$ref)}">${nameOf(schema.$ref)}</a>`
  if (schema.type === 'array') return html`list of ${typeOf(schema.items ?? {})}`
  const types = [schema.type ?? 'any'].flat().join(' or ')
  const limits = [
    schema.format,
    schema.enum === undefined ? undefined : schema.enum.map((value) => JSON.stringify(value)).join(', '),
    schema.minimum === undefined || schema.minimum === 0 ? undefined : `from ${schema.minimum}`,
    schema.maximum === undefined || schema.maximum === Number.MAX_SAFE_INTEGER ? undefined : `to ${schema.maximum}`,
    schema.maxLength === undefined ? undefined : `at most ${schema.maxLength} characters`,
    schema.default === undefined ? undefined : `${JSON.stringify(schema.default)} unless given`,
  ].filter((limit) => limit !== undefined)
  return html`${[types, ...limits].join(', ')}`
}

/** The document's descriptions are plain text, but for what stands between backticks and between empty lines. */
const prose = (text: string): readonly Html[] =>
  text
    .split('\n\n')
    .map(
      (paragraph) =>
        html`<p>${paragraph.split('`').map((part, at) => (at % 2 === 1 ? html`<code>${part}</code>` : part))}</p>`,
    )

const optionalUnless = (isRequired: boolean | undefined): HtmlValue => isRequired !== true && html` <i>optional</i>`

const fields = (schema: Schema): Html | undefined => {
  const properties = Object.entries(schema.properties ?? {})
  if (properties.length === 0) return undefined
  return html`<table>
    ${properties.map(
      ([name, field]) =>
        html`<tr>
          <th scope="row"><code>${name}</code>${optionalUnless(schema.required?.includes(name))}</th>
          <td>${typeOf(field)}</td>
          <td>${field.description}</td>
        </tr>`,
    )}
  </table>`
}

const bodyOf = (schema: Schema): Html => fields(schema) ?? html`<p>${typeOf(schema)}</p>`

const answers = ({ responses }: Operation, wanted: (status: number) => boolean) =>
  Object.entries(responses).filter(([status]) => wanted(Number(status)))

const operation = (path: string, method: string, told: Operation): Html =>
  html`<details>
    <summary><b>${method.toUpperCase()}</b> <code>${path}</code> ${told.summary}</summary>
    ${prose(told.description)}
    ${
      told.parameters !== undefined &&
      html`<h4>Parameters</h4>
        <table>
          ${told.parameters.map(
            (parameter) =>
              html`<tr>
                <th scope="row">
                  <code>${parameter.name}</code> <i>${parameter.in}</i>${optionalUnless(parameter.required)}
                </th>
                <td>${typeOf(parameter.schema)}</td>
                <td>${parameter.description ?? parameter.schema.description}</td>
              </tr>`,
          )}
        </table>`
    }
    ${
      told.requestBody !== undefined &&
      html`<h4>Body</h4>
        ${Object.values(told.requestBody.content).map(({ schema }) => bodyOf(schema))}`
    }
    <h4>Answers</h4>
    ${answers(told, (status) => status < 400).map(
      ([status, { description, content = {} }]) =>
        html`<section>
          <h5>${status}</h5>
          ${prose(description)} ${Object.values(content).map(({ schema }) => bodyOf(schema))}
        </section>`,
    )}
    <h4>Refusals and failures, each a <a href="#schema-Problem">Problem</a></h4>
    <table>
      ${answers(told, (status) => status >= 400).map(
        ([status, { description }]) =>
          html`<tr>
            <th scope="row">${status}</th>
            <td>${prose(description)}</td>
          </tr>`,
      )}
    </table>
  </details>`

/** The whole page. */
export const docsPage = (document: Document): string => {
  const { info, servers, tags, paths, components } = document
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, told]) => ({ path, method, told })),
  )
  return htmlText(
    html`<!doctype html>
      <html lang="en">
        <head>
          <meta charset="utf-8" />
          <meta name="viewport" content="width=device-width, initial-scale=1" />
          <title>${info.title} API</title>
          <link rel="stylesheet" href="${API_PATH}/docs/style.css" />
        </head>
        <body>
          <main>
            <h1>${info.title} API</h1>
            <p>
              <code>${servers[0]?.url}</code>, version ${info.version}. For machines:
              <a href="${API_PATH}/openapi.json">openapi.json</a>.
            </p>
            ${prose(info.description)}
            ${tags.map(
              (tag) =>
                html`<h2>${tag.description}</h2>
                  ${operations
                    .filter(({ told }) => told.tags.includes(tag.name))
                    .map(({ path, method, told }) => operation(path, method, told))}`,
            )}
            <h2>What several routes answer</h2>
            ${Object.entries(components.schemas).map(
              ([name, schema]) =>
                html`<section id="schema-${name}">
                  <h3>${name}</h3>
                  <p>${schema.description}</p>
                  ${bodyOf(schema)}
                </section>`,
            )}
          </main>
        </body>
      </html>`,
  )
}

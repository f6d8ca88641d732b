// Sends a page with its status. Says in which language; knows no wording.
import type { FastifyReply, FastifyRequest } from 'fastify'
import { chooseLocale } from './pages/locale.ts'
import { messagePage, messageStatus } from './pages/message-page.ts'
import type { MessageViews } from './pages/message-page.ts'
import type { MessageKind } from './pages/texts.ts'

export const HTML = 'text/html; charset=utf-8'

/** The language of the consent the page is about, else of the browser. */
export const localeFor = (request: FastifyRequest, consent?: { readonly locale: string | undefined }): string =>
  chooseLocale({ consent: consent?.locale, acceptLanguage: request.headers['accept-language'] })

export const answerPage = <K extends MessageKind>(
  reply: FastifyReply,
  kind: K,
  view: MessageViews[K],
  status = messageStatus[kind],
): FastifyReply => reply.code(status).type(HTML).send(messagePage(kind, view))

/** One of the pages that name nobody. */
export const answerPlainPage = (
  request: FastifyRequest,
  reply: FastifyReply,
  kind: 'unknown-link' | 'not-found' | 'bad-request' | 'too-many' | 'internal',
): FastifyReply => answerPage(reply, kind, { locale: localeFor(request) })

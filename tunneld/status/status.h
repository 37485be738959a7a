/* SPDX-License-Identifier: MIT */
/* The status answers as JSON; config/status.schema.json says what each field is. Only reads. */
#ifndef PLAIT_STATUS_H
#define PLAIT_STATUS_H

struct http_request;
struct http_answer;

/* An http_fn: owner is the struct daemon. */
void status_answer(void *owner, const struct http_request *r, struct http_answer *out);

#endif

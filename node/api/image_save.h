/* The method image.save (docs/api.md). */
#pragma once

#include "node/api/call.h"

void method_image_save(struct api_call *call, struct bytes params);

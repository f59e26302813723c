<?php

declare(strict_types=1);

namespace Hello;

/** What the page says. */
final class Greeting
{
    public function __construct(private string $name)
    {
    }

    public function text(): string
    {
        return 'Hello from ' . mb_convert_case($this->name, MB_CASE_TITLE) . ' ' . PHP_VERSION . "!\n";
    }
}
